import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation, useRouter } from "@tanstack/react-router";
import { Suspense, cloneElement, lazy, useEffect, useState, type ButtonHTMLAttributes, type ReactElement, type ReactNode } from "react";
import { loginMethodsQuery, meQuery } from "../api/queries";
import { initialsOf, nameOf } from "../account/me";
import { w } from "../words/shell";
import { nav, themeWords } from "./bar";
import { IconButton, buttonClass } from "./button";
import { brandLogo, brandName } from "./head";
import { Icon } from "./icon";
import { hasNavigated } from "./page";
import { Said } from "./said";
import { useTheme } from "./theme";
import { Toasts } from "./toast";

const loadPalette = () => import("./palette");
const Palette = lazy(loadPalette);

/** Mark and word, or the owner's logo. */
export function Brand() {
  if (brandLogo) return <img src={brandLogo} alt="" className="h-7 w-auto max-w-40" />;
  return (
    <>
      <Icon name="mark" className="size-[22px] stroke-0 text-accent" />
      <span className="text-[1.0625rem] font-bold tracking-[-0.03em]">{brandName === "Sluice" ? "sluice" : brandName}</span>
    </>
  );
}

const loadMenus = () => import("./bar-menus");
const menus = {
  theme: lazy(() => loadMenus().then((m) => ({ default: m.ThemeChoice }))),
  account: lazy(() => loadMenus().then((m) => ({ default: m.AccountChoice }))),
  places: lazy(() => loadMenus().then((m) => ({ default: m.Places }))),
};

/** The button of a menu of the bar. What opens is loaded when a pointer or the focus comes near: no page needs it to be read. */
function Opener({ trigger, menu, login = "", inConsole = false }: { trigger: ReactElement<ButtonHTMLAttributes<HTMLButtonElement>>; menu: keyof typeof menus; login?: string; inConsole?: boolean }) {
  const [wanted, setWanted] = useState(false);
  const load = () => void loadMenus();
  const closed = cloneElement(trigger, {
    "aria-haspopup": "menu",
    "aria-expanded": false,
    onPointerEnter: load,
    onFocus: load,
    onClick: () => setWanted(true),
    onKeyDown: (e) => { if (e.key === "ArrowDown") setWanted(true); },
  });
  if (!wanted) return closed;
  const Opened = menus[menu];
  return (
    <Suspense fallback={closed}>
      <Opened trigger={trigger} login={login} inConsole={inConsole} />
    </Suspense>
  );
}

/** Light, dark, or as the system has it. */
export function ThemeMenu() {
  const { theme, isDark } = useTheme();
  return <Opener menu="theme" trigger={<IconButton icon={isDark ? "moon" : "sun"} label={w("themeNow", { theme: w(themeWords[theme]) })} />} />;
}

/** Who is logged in, and what is theirs. */
export function AccountMenu({ login, inConsole }: { login: string; inConsole: boolean }) {
  return (
    <Opener
      menu="account"
      login={login}
      inConsole={inConsole}
      trigger={
        <button type="button" aria-label={w("accountOf", { initials: initialsOf(login), login })} className="grid size-7 flex-none place-items-center rounded-full bg-mute-soft text-2xs font-bold text-ink-2 hover:bg-hover">
          {initialsOf(login)}
        </button>
      }
    />
  );
}

const apple = /Mac|iPhone|iPad/.test(navigator.userAgent);

function Key({ children }: { children: ReactNode }) {
  return <kbd className="inline-grid h-5 min-w-5 place-items-center rounded-sm border border-line-strong bg-sunken px-[0.3125rem] font-sans text-2xs leading-none text-ink-2">{children}</kbd>;
}

const loadAhead = () => void loadPalette();

/** What opens the search, with its keys. */
export function SearchButton({ onSearch, label, className = "" }: { onSearch: () => void; label: string; className?: string }) {
  return (
    <button type="button" aria-keyshortcuts="Meta+K Control+K" onClick={onSearch} onPointerEnter={loadAhead} onFocus={loadAhead} className={`hidden h-8 items-center gap-2 rounded-md border border-line-strong bg-bg pr-1.5 pl-2.5 text-sm text-ink-3 hover:bg-hover wide:flex ${className}`}>
      <Icon name="search" />
      <span className="flex-1 truncate text-left">{label}</span>
      <span className="flex gap-1" aria-hidden="true">
        <Key>{apple ? "⌘" : "Ctrl"}</Key>
        <Key>K</Key>
      </span>
    </button>
  );
}

function Bar({ onSearch }: { onSearch: () => void }) {
  const me = useQuery(meQuery);
  const methods = useQuery(loginMethodsQuery);
  const { pathname } = useLocation();
  const login = nameOf(me.data);
  return (
    <header className="sticky top-0 z-20 border-b border-line bg-bg">
      <div className="mx-auto flex h-14 max-w-page items-center gap-2 px-4 wide:gap-6 wide:px-8">
        <Link to="/" aria-label={w("home", { name: brandName })} className="inline-flex items-center gap-[0.5625rem] text-ink hover:no-underline">
          <Brand />
        </Link>
        <nav aria-label={w("navigation")} className="hidden flex-1 gap-1 wide:flex">
          {nav.map((n) => (
            <Link key={n.to} to={n.to} className={`rounded-md px-2.5 py-[0.3125rem] text-md hover:bg-hover hover:text-ink hover:no-underline ${n.also?.test(pathname) ? "font-semibold text-ink" : "text-ink-2"}`} activeProps={{ className: "font-semibold !text-ink", "aria-current": "page" }} preload="intent">
              {n.label}
            </Link>
          ))}
        </nav>
        <span className="flex-1 wide:hidden" />
        <SearchButton onSearch={onSearch} label={w("search")} className="w-68" />
        <IconButton icon="search" label={w("searchShort")} className="wide:hidden" onClick={onSearch} onPointerEnter={loadAhead} />
        <ThemeMenu />
        {me.data && !login && (
          <span className="flex items-center gap-2">
            {methods.data?.signUp && (
              <Link to="/signup" className={`${buttonClass("quiet", "sm")} max-wide:hidden`}>
                {w("signUp")}
              </Link>
            )}
            <Link to="/login" className={buttonClass("plain", "sm")}>
              {w("logIn")}
            </Link>
          </span>
        )}
        {login && <AccountMenu login={login} inConsole={false} />}
        <span className="wide:hidden">
          <Opener menu="places" trigger={<IconButton icon="menu" label={w("menu")} />} />
        </span>
      </div>
    </header>
  );
}

function Foot() {
  return (
    <footer className="mt-auto border-t border-line">
      <nav aria-label={w("footer")} className="mx-auto flex max-w-page flex-wrap items-center gap-x-6 gap-y-2 px-4 py-5 text-sm text-ink-3 wide:px-8 wide:py-6">
        <span className="flex-1">{w("portalOf", { name: brandName })}</span>
        <a href="/v1/openapi.json" className="py-0.5 text-ink-2">{w("managementApi")}</a>
        <a href="/llms.txt" className="py-0.5 text-ink-2">llms.txt</a>
      </nav>
    </footer>
  );
}

/** Keys that work everywhere: ⌘K and Ctrl K search. */
function useSearch(): [boolean, (to: boolean) => void] {
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => {
      if ((e.metaKey || e.ctrlKey) && !e.altKey && !e.shiftKey && e.key.toLowerCase() === "k") {
        e.preventDefault();
        setOpen(true);
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return [open, setOpen];
}

/** What portal and console have in common around their pages; `children` is given what opens the search. */
export function Frame({ children }: { children: (search: () => void) => ReactNode }) {
  const [searching, setSearching] = useSearch();
  const router = useRouter();
  useEffect(
    () =>
      router.subscribe("onBeforeNavigate", ({ fromLocation, pathChanged }) => {
        if (fromLocation && pathChanged) hasNavigated();
      }),
    [router],
  );
  return (
    <>
      <a href="#main" className="fixed -top-16 left-4 z-50 rounded-md bg-accent px-4 py-2 text-on-accent focus:top-2">
        {w("skip")}
      </a>
      {children(() => setSearching(true))}
      {searching && (
        <Suspense>
          <Palette onClose={() => setSearching(false)} />
        </Suspense>
      )}
      <Toasts />
      <Said />
    </>
  );
}

/** The portal around its pages, or around what is given. */
export function PortalShell({ children }: { children?: ReactNode }) {
  return (
    <Frame>
      {(search) => (
        <div className="flex min-h-dvh flex-col">
          <Bar onSearch={search} />
          <main id="main" tabIndex={-1} className="mx-auto w-full max-w-page px-4 pt-5 pb-12 outline-none wide:px-8 wide:pt-8 wide:pb-16">
            {children ?? <Outlet />}
          </main>
          <Foot />
        </div>
      )}
    </Frame>
  );
}
