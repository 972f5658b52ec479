import { Link, Outlet } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { meQuery } from "../api/queries";
import { nameOf } from "../account/me";
import { w } from "../words/console";
import { w as shell } from "../words/shell";
import { brandName } from "../ui/head";
import { IconButton } from "../ui/button";
import { Icon, type IconName } from "../ui/icon";
import { AccountMenu, Brand, Frame, SearchButton, ThemeMenu } from "../ui/shell";

// Groups are what people do. A builder of a page adds its row.
const groups: readonly { title: string; items: readonly { to: "/console"; label: string; icon: IconName }[] }[] = [{ title: w("publish"), items: [{ to: "/console", label: w("title"), icon: "box" }] }];

function Side({ onSearch }: { onSearch: () => void }) {
  const login = nameOf(useQuery(meQuery).data);
  return (
    <header className="border-line bg-sunken max-wide:border-b wide:border-r">
      <div className="flex items-center gap-4 p-2 px-4 wide:sticky wide:top-0 wide:h-dvh wide:flex-col wide:items-stretch wide:overflow-y-auto wide:p-3">
        <div className="flex items-center gap-1 wide:py-1.5 wide:pl-2">
          <Link to="/console" aria-label={shell("home", { name: brandName })} className="inline-flex flex-1 items-center gap-[0.5625rem] text-ink hover:no-underline">
            <Brand />
          </Link>
        </div>
        <SearchButton onSearch={onSearch} label={shell("searchShort")} />
        <nav aria-label={w("navigation")} className="hidden flex-1 content-start gap-4 wide:grid">
          {groups.map((g) => (
            <div key={g.title}>
              <div className="mb-1 px-2 text-xs text-ink-3">{g.title}</div>
              <ul>
                {g.items.map((i) => (
                  <li key={i.to}>
                    <Link to={i.to} className="flex items-center gap-[0.5625rem] rounded-md px-2 py-[0.3125rem] text-md text-ink-2 hover:bg-hover hover:text-ink hover:no-underline" activeOptions={{ exact: true }} activeProps={{ className: "bg-selected font-semibold !text-ink", "aria-current": "page" }}>
                      <Icon name={i.icon} />
                      {i.label}
                    </Link>
                  </li>
                ))}
              </ul>
            </div>
          ))}
        </nav>
        <div className="ml-auto flex items-center gap-2 wide:ml-0">
          <IconButton icon="search" label={shell("searchShort")} className="wide:hidden" onClick={onSearch} />
          {login && <AccountMenu login={login} inConsole />}
          <ThemeMenu />
        </div>
      </div>
    </header>
  );
}

/** The console around its pages: a bar at the side, and room that grows with the window. */
export function ConsoleShell() {
  return (
    <Frame>
      {(search) => (
        <div className="grid min-h-dvh grid-cols-[minmax(0,1fr)] max-wide:grid-rows-[auto_1fr] wide:grid-cols-[15rem_minmax(0,1fr)]">
          <Side onSearch={search} />
          <main id="main" tabIndex={-1} className="min-w-0 px-4 pt-5 pb-10 outline-none wide:px-8 wide:pt-6 wide:pb-12">
            <Outlet />
          </main>
        </div>
      )}
    </Frame>
  );
}
