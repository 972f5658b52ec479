// Accounts, by the keyboard alone where it says so.
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
