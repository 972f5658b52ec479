// What every page has to stand: axe finds nothing, nothing scrolls sideways, nothing is loaded from elsewhere, nothing is refused by the
// content security policy.
import { readFileSync } from "node:fs";
import { test as base, expect, type Page } from "@playwright/test";

const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

interface Finding {
  id: string;
  help: string;
  nodes: { target: string[]; failureSummary?: string }[];
}

/** A test whose pages may not complain, nor reach for other hosts. */
export const test = base.extend<{ quiet: void }>({
  quiet: [
    async ({ page, baseURL }, use) => {
      const wrong: string[] = [];
      page.on("pageerror", (e) => wrong.push(`error: ${e.message}`));
      page.on("console", (m) => {
        // An answer of 401 to 499 is part of some flows, and the browser logs it.
        if (m.type() === "error" && !/Failed to load resource/.test(m.text())) wrong.push(`console: ${m.text()}`);
      });
      await page.route("**/*", (route) => {
        const url = route.request().url();
        if (url.startsWith(baseURL ?? "") || /^(data|blob):/.test(url)) return route.continue();
        wrong.push(`asks elsewhere: ${url}`);
        return route.abort();
      });
      await use();
      expect(wrong, "what the page complains of").toEqual([]);
    },
    { auto: true },
  ],
});
export { expect };

/** Nothing that axe knows of is wrong: WCAG A, AA and best practice. */
export async function accessible(page: Page, where: string) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run: (options: object) => Promise<{ violations: Finding[] }> } };
    return (await axe.run({ resultTypes: ["violations"] })).violations;
  });
  expect(found.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.target.join(" ")} ${n.failureSummary ?? ""}`).join("; ")}`), `axe on ${where}`).toEqual([]);
}

/** Nothing but what has its own region scrolls sideways. */
export async function fits(page: Page, where: string) {
  const over = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > width + 1).slice(0, 5).map((e) => `${e.tagName.toLowerCase()}.${String(e.className).slice(0, 60)}`);
  });
  expect(over, `wider than the window: ${where}`).toEqual([]);
}

/** Waits until a page shows what it has: its heading, and no bones. */
export async function settled(page: Page) {
  await expect(page.locator("h1").first()).toBeVisible();
  await expect(page.locator('[aria-busy="true"]')).toHaveCount(0);
}

export const password = "correct horse, battery staple";

/** Logs somebody in by the form. */
export async function logIn(page: Page, login: string, back = "/") {
  await page.goto(`/login?return=${encodeURIComponent(back)}`);
  await page.getByLabel("Login name").fill(login);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
  await expect(page.getByRole("button", { name: `account of ${login}` })).toBeVisible();
}
