// Every page, wide and narrow, light and dark, as somebody sees it who has something.
import { accessible, expect, fits, logIn, settled, test } from "./look";

const open = ["/", "/login", "/signup", "/password", "/nowhere", "/apps"];
const own = ["/account", "/account/logins", "/account/keys", "/apps", "/apps/acme-erp/prod", "/apps/acme-erp/prod/credentials", "/apps/acme-erp/prod/rights", "/apps/acme-erp/prod/refused", "/console"];

// A sample has each theme and each width once.
const whole = process.env["SLUICE_FULL"] === "1" || Boolean(process.env["SLUICE_SHOTS"]);

for (const theme of ["light", "dark"] as const) {
  for (const width of [1440, 390]) {
    if (!whole && (theme === "light") !== (width === 390)) continue;
    test(`pages, ${theme}, ${width} px`, async ({ page, context, baseURL }) => {
      test.slow();
      await page.setViewportSize({ width, height: 900 });
      await context.addCookies([{ name: "sluice_theme", value: theme, url: baseURL ?? "" }]);
      const look = async (path: string) => {
        await page.setViewportSize({ width, height: 900 });
        await page.goto(path);
        await settled(page);
        await expect(page.locator("html")).toHaveAttribute("data-theme", theme);
        await accessible(page, `${path} ${theme} ${width}`);
        await fits(page, `${path} at ${width}`);
        if (width < 500) {
          await page.setViewportSize({ width: 320, height: 800 });
          await fits(page, `${path} at 320`);
        }
        if (process.env["SLUICE_SHOTS"]) {
          await page.setViewportSize({ width, height: 900 });
          await page.screenshot({ path: `${process.env["SLUICE_SHOTS"]}/${path.replaceAll("/", "-").replace(/^-/, "") || "home"}-${theme}-${width}.png`, fullPage: true });
        }
      };
      for (const path of open) await look(path);
      await logIn(page, "dora");
      for (const path of own) await look(path);
    });
  }
}

test("titles, and what is not there", async ({ page, request }) => {
  const title = async (path: string) => {
    await page.goto(path);
    await settled(page);
    return page.title();
  };
  expect(await title("/")).toMatch(/ · Sluice$/);
  expect(await title("/login")).toBe("Log in · Sluice");
  expect((await request.get("/nowhere")).status()).toBe(404);
  expect((await request.get("/apps/acme-erp/prod")).status(), "of somebody else").toBe(404);
  await page.goto("/apps/acme-erp/prod");
  await settled(page);
  const hidden = await page.locator("main").innerText();
  await page.goto("/apps/no-such-thing/prod");
  await settled(page);
  expect(await page.locator("main").innerText(), "what is forbidden looks as what is not there").toBe(hidden);
});
