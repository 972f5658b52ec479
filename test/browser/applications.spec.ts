// What a team does with its application: a second credential, a rotation, a revocation, and why something was refused.
import { accessible, expect, fits, logIn, settled, test } from "./look";

test("a credential is made, rotated and revoked, by keyboard", async ({ page }) => {
  await logIn(page, "dora", "/apps/acme-erp/prod/credentials");
  await settled(page);
  await page.getByRole("button", { name: "New credential" }).focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  const field = dialog.getByLabel("Name");
  await expect(field).toHaveValue(/^acme-erp-\d+$/);
  const name = `acme-erp-k${Date.now()}`;
  await field.focus();
  await page.keyboard.press("Control+A");
  await page.keyboard.type(name);
  await page.keyboard.press("Enter");
  const secret = dialog.locator('[data-secret="shown"]');
  await expect(secret).toHaveText(/^\S{16,}$/);
  const first = await secret.innerText();
  await accessible(page, "the secret");
  await page.getByRole("button", { name: "Hide secret" }).focus();
  await page.keyboard.press("Enter");
  await expect(dialog.getByText(first)).toHaveCount(0);
  await page.keyboard.press("Escape");
  await expect(page.getByText(first)).toHaveCount(0);

  const menu = page.getByRole("button", { name: `Actions for ${name}` });
  await menu.focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter"); // the first: rotate
  await expect(dialog.getByRole("heading")).toHaveText(`Rotate ${name}?`);
  await dialog.getByLabel("Overlap").selectOption({ label: "3 days" });
  await dialog.getByRole("button", { name: `Rotate ${name}` }).focus();
  await page.keyboard.press("Enter");
  await expect(secret).toHaveText(/^\S{16,}$/);
  expect(await secret.innerText()).not.toBe(first);
  await expect(dialog).toContainText("The secret before is good until");
  await page.keyboard.press("Escape");

  await menu.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: `Revoke ${name}` }).focus();
  await page.keyboard.press("Enter");
  await expect(dialog).toContainText("This cannot be undone.");
  await accessible(page, "a dialog that takes away");
  await fits(page, "a dialog that takes away");
  await page.keyboard.press("Escape");
  await expect(dialog).toHaveCount(0);
  await menu.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: `Revoke ${name}` }).focus();
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: `Revoke ${name}` }).focus();
  await page.keyboard.press("Enter");
  await expect(dialog).toHaveCount(0);
  await expect(page.getByRole("row", { name: new RegExp(name) })).toContainText("revoked");
});

test("what is in use asks for its name before it is revoked", async ({ page }) => {
  await logIn(page, "dora", "/apps/acme-erp/prod");
  await page.getByRole("button", { name: "Actions for acme-erp-1" }).click();
  await page.getByRole("menuitem", { name: "Revoke acme-erp-1" }).click();
  const revoke = page.getByRole("dialog").getByRole("button", { name: "Revoke acme-erp-1" });
  await expect(revoke).toBeDisabled();
  await page.getByLabel("Type acme-erp-1 to confirm").fill("acme-erp");
  await expect(revoke).toBeDisabled();
  await page.getByRole("button", { name: "Keep it" }).click();
  await expect(page.getByRole("row", { name: /^acme-erp-1 / })).toContainText("active");
});

test("a refused request is found by its id", async ({ page }) => {
  await logIn(page, "dora", "/apps/acme-erp/prod/refused");
  const row = page.getByRole("row", { name: /orders\.placed/ }).first();
  const id = await row.getByRole("link").innerText();
  await page.getByLabel("Find a refused request by the id in your client's log").fill(id);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(`Refused request ${id}`);
  await expect(page.getByRole("main")).toContainText("not a topic of the application's namespace");
  await accessible(page, "a refused request");
});

test("applications: made, found, sorted", async ({ page }) => {
  await logIn(page, "dora", "/apps");
  const name = `app-${Date.now()}`;
  await page.getByRole("button", { name: "New application" }).click();
  await accessible(page, "the dialog of a new application");
  await page.getByLabel("Name", { exact: false }).first().fill(name);
  await page.getByRole("button", { name: "Create it" }).click();
  await expect(page).toHaveURL(new RegExp(`/apps/${name}/prod$`));
  await expect(page.getByText(`${name} sees no topics in prod.`)).toBeVisible();
  await accessible(page, "an empty application");
  await page.getByRole("navigation", { name: "Breadcrumb" }).getByRole("link").click();
  await page.getByLabel("Find an application by name").fill("no such thing");
  await expect(page).toHaveURL(/q=no(\+|%20)such(\+|%20)thing/);
  await page.getByRole("button", { name: "Clear the filter" }).click();
  await page.getByRole("button", { name: "Application", exact: true }).click();
  await expect(page).toHaveURL(/sort=-name/);
  await expect(page.getByRole("columnheader", { name: "Application" })).toHaveAttribute("aria-sort", "descending");
});
