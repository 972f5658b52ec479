import { defineConfig } from "@playwright/test";

// Started by browser_test.go, which says where the portal is and which Chromium there is.
const need = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run go -C test test ./browser`);
  return value;
};

export default defineConfig({
  testDir: ".",
  outputDir: need("SLUICE_RESULTS"),
  fullyParallel: true,
  forbidOnly: true,
  workers: 2,
  timeout: 60_000,
  // A busy machine is slow, and what is awaited comes.
  expect: { timeout: 20_000 },
  reporter: [["list", { printSteps: false }]],
  use: {
    baseURL: need("SLUICE_URL"),
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    timezoneId: "UTC",
    contextOptions: { reducedMotion: "reduce" },
    trace: "off",
    launchOptions: {
      executablePath: need("SLUICE_CHROMIUM"),
      args: ["--disable-gpu", "--disable-dev-shm-usage", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
    },
  },
});
