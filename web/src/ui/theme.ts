// Light, dark, or what the system says. The choice is a cookie, and the server writes data-theme from
// it, so that nothing flashes.
import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const listeners = new Set<() => void>();
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => { for (const l of listeners) l(); });

export function theme(): Theme {
  const t = document.documentElement.dataset["theme"];
  return t === "light" || t === "dark" ? t : "system";
}

export function setTheme(to: Theme) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  if (to === "system") {
    delete document.documentElement.dataset["theme"];
    document.cookie = `sluice_theme=; Path=/; Max-Age=0; SameSite=Lax${secure}`;
  } else {
    document.documentElement.dataset["theme"] = to;
    document.cookie = `sluice_theme=${to}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  }
  for (const l of listeners) l();
}

const subscribe = (l: () => void) => {
  listeners.add(l);
  return () => { listeners.delete(l); };
};

/** The choice, and what is seen because of it. */
export function useTheme(): { theme: Theme; isDark: boolean } {
  const now = useSyncExternalStore(subscribe, theme);
  const system = useSyncExternalStore(subscribe, () => dark.matches);
  return { theme: now, isDark: now === "dark" || (now === "system" && system) };
}
