// What the bar and its menus have in common.
import { w } from "../words/shell";

/** Where one goes from everywhere in the portal; `also` are addresses that belong to it. */
export const nav = [
  { to: "/catalog", also: /^\/(apis|products)\//, label: w("catalog") },
  { to: "/guides", also: undefined, label: w("guides") },
  { to: "/apps", also: undefined, label: w("applications") },
] as const;

/** The words for themes. */
export const themeWords = { system: "themeSystem", light: "themeLight", dark: "themeDark" } as const;
