// Accounts, by the keyboard alone where it says so.
import { createHmac } from "node:crypto";
import { accessible, expect, logIn, password, settled, test } from "./look";

test("sign up, look around, log out and in again, by keyboard", async ({ page }) => {
  await page.goto("/");
  await settled(page);
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to content" })).toBeFocused();
  await page.getByRole("link", { name: "Sign up" }).focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Sign up" })).toBeFocused();
  const login = `grace-${Date.now()}`;
  await page.keyboard.press("Tab");
  await page.keyboard.type(login);
  await page.keyboard.press("Tab");
  await page.keyboard.type("Grace");
  await page.keyboard.press("Tab");
  await page.keyboard.type("short");
  await page.keyboard.press("Enter");
  await expect(page.getByLabel("Login name")).toHaveValue(login); // what was typed stays
  await page.getByLabel("Password").focus();
  await page.keyboard.press("Control+A");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  const account = page.getByRole("button", { name: `account of ${login}` });
  await expect(account).toBeVisible();
  await expect(page.getByText(`Welcome, ${login}.`)).toBeVisible();
  expect((await page.context().cookies()).find((c) => c.name === "sluice_login")).toMatchObject({ httpOnly: true, sameSite: "Lax" });
  expect(await page.evaluate(() => document.cookie), "what scripts see of the login").not.toContain("sluice_login");

  await account.focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("menu")).toBeVisible();
  await accessible(page, "the account's menu");
  await page.keyboard.press("Escape");
  await expect(account).toBeFocused();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: "Log out" }).focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("link", { name: "Log in" })).toBeVisible();
  expect((await page.context().cookies()).filter((c) => c.name === "sluice_login")).toEqual([]);

  await page.goto("/account"); // for nobody: log in and come back
  await page.getByRole("main").getByRole("link", { name: "Log in" }).click();
  await page.getByLabel("Login name").fill(login);
  await page.getByLabel("Password").fill(`${password}?`);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toContainText("wrong");
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/account$/);
  await expect(page.getByText(`app-developer of team ${login}`)).toBeVisible();
});

test("themes stay, and need no script", async ({ page, request }) => {
  await page.goto("/");
  await page.getByRole("button", { name: /^Theme:/ }).click();
  await page.getByRole("menuitemradio", { name: "Dark" }).click();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.reload();
  expect(await (await page.request.get("/")).text()).toContain('data-theme="dark"');
  expect(await (await request.get("/")).text()).not.toContain("data-theme");
});

test("API tokens: shown once, work, and are revoked", async ({ page, request }) => {
  await logIn(page, "dora", "/account/keys");
  await page.getByRole("button", { name: "New API token" }).first().click();
  const name = `ci-${Date.now()}`;
  await page.getByLabel("Name").fill(name);
  await accessible(page, "the dialog of a new token");
  await page.getByRole("button", { name: "Make the token" }).click();
  const secret = await page.locator('[data-secret="shown"]').innerText();
  const me = () => request.get("/v1/me", { headers: { Authorization: `Bearer ${secret}` } });
  expect((await (await me()).json()).actor).toBe(`token ${name}`);
  await page.getByRole("button", { name: "Done" }).click();
  await expect(page.getByText(secret)).toHaveCount(0);
  await page.getByRole("button", { name: `Actions for ${name}` }).click();
  await page.getByRole("menuitem", { name: `Revoke ${name}` }).click();
  await page.getByRole("button", { name: "Keep it" }).click();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.getByRole("button", { name: `Actions for ${name}` }).click();
  await page.getByRole("menuitem", { name: `Revoke ${name}` }).click();
  await page.getByRole("button", { name: `Revoke ${name}` }).click();
  await expect(page.getByRole("button", { name: `Actions for ${name}` })).toHaveCount(0);
  expect((await me()).status()).toBe(401);
});

test("⌘K goes to a page", async ({ page }) => {
  await page.goto("/");
  await settled(page);
  await page.keyboard.press("Control+k");
  await expect(page.getByRole("combobox")).toBeFocused();
  await page.keyboard.type("applic");
  await accessible(page, "the palette");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/apps$/);
  await page.keyboard.press("Control+k");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("combobox")).toHaveCount(0);
});

// A code of an authenticator (RFC 6238), as it is now.
function codeOf(key: string): string {
  const bits = [...key.replaceAll(/[\s-]/g, "").toUpperCase()].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const secret = Buffer.from((bits.match(/.{8}/g) ?? []).map((b) => Number.parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const mac = createHmac("sha1", secret).update(step).digest();
  const at = (mac.at(-1) ?? 0) & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

test("a second factor is set up, asked for, and removed with a recovery code", async ({ page }) => {
  await page.goto("/signup");
  const login = `tess-${Date.now()}`;
  await page.getByLabel("Login name").fill(login);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign up" }).click();
  await expect(page.getByRole("button", { name: `account of ${login}` })).toBeVisible();
  await page.goto("/account");
  const factor = page.locator("section").filter({ has: page.getByRole("heading", { name: "Second factor" }) });
  await factor.getByLabel("Password").fill(password);
  await factor.getByRole("button", { name: "Set up an authenticator" }).click();
  const uri = await factor.getByRole("link", { name: "Open in an authenticator" }).getAttribute("href");
  await accessible(page, "setting a second factor up");
  await factor.getByLabel("Code that it shows now").fill(codeOf(new URL(uri ?? "").searchParams.get("secret") ?? ""));
  await factor.getByRole("button", { name: "Confirm" }).click();
  const codes = factor.getByRole("list").getByRole("listitem");
  await expect(codes.first()).toBeVisible();
  const [first = "", second = ""] = await codes.allInnerTexts();
  await factor.getByRole("button", { name: "Done" }).click();
  await expect(factor).toContainText("A code of your authenticator is asked for");

  await page.getByRole("button", { name: `account of ${login}` }).click();
  await page.getByRole("menuitem", { name: "Log out" }).click();
  await page.goto("/login?return=/account");
  await page.getByLabel("Login name").fill(login);
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Second factor");
  await accessible(page, "the second factor");
  await page.getByLabel("Code").fill("000000");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toContainText("wrong");
  await page.getByLabel("Code").fill(first);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/account$/);

  await factor.getByRole("button", { name: "Remove the second factor" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Password").fill(password);
  await dialog.getByLabel("Code").fill(second);
  await dialog.getByRole("button", { name: "Remove the second factor" }).click();
  await expect(factor).toContainText("Only your password protects this account.");
});
