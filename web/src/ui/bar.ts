// What the bar and its menus have in common.
import { w } from "../words/shell";

/** Where one goes from everywhere in the portal. */
export const nav = [
  { to: "/catalog", label: w("catalog") },
  { to: "/guides", label: w("guides") },
  { to: "/apps", label: w("applications") },
] as const;

/** The words for themes. */
export const themeWords = { system: "themeSystem", light: "themeLight", dark: "themeDark" } as const;
