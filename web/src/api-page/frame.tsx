import { useQuery } from "@tanstack/react-query";
import { Outlet, useLocation, useNavigate, type LinkProps } from "@tanstack/react-router";
import { useEffect, useRef, type ReactNode } from "react";
import { nameOf } from "../account/me";
import { Problem } from "../api/client";
import { meQuery } from "../api/queries";
import { majorOf } from "../ui/api-card";
import { EnvironmentName, StateBadge } from "../ui/badge";
import { ButtonLink } from "../ui/button";
import { Glyph } from "../ui/glyph";
import { Icon } from "../ui/icon";
import { Menu, MenuChoice } from "../ui/menu";
import { PageHead } from "../ui/page";
import { say } from "../ui/said";
import { Await, NotFound } from "../ui/states";
import { LinkTabs } from "../ui/tabs";
import { w } from "../words/api";
import { w as states } from "../words/states";
import { w as shell } from "../words/shell";
import { isState } from "../ui/badge";
import { kept, useApiPage, useWhich, type ApiPage } from "./api";
import { StateBanner, Tombstone } from "./banner";

// The pages of an API: what is behind its address, what its tab and its window are called. A new one also needs its
// line in routes.tsx and its row in words/addresses.json.
const pages = [
  { path: "", to: "/apis/$name", label: w("overview"), title: (title: string) => title, tombstone: true },
  { path: "reference", to: "/apis/$name/reference", label: w("reference"), title: (title: string) => w("titleReference", { title }), tombstone: true },
  { path: "guides", to: "/apis/$name/guides", label: w("guides"), title: (title: string) => w("titleGuides", { title }), tombstone: false },
  { path: "changelog", to: "/apis/$name/changelog", label: w("changelog"), title: (title: string) => w("titleChangelog", { title }), tombstone: false },
  { path: "support", to: "/apis/$name/support", label: w("support"), title: (title: string) => w("titleSupport", { title }), tombstone: false },
] as const;

const small = "inline-flex h-8 items-center gap-[0.4375rem] rounded-md border border-line-strong bg-bg pr-2 pl-2.5 text-sm font-semibold whitespace-nowrap hover:bg-hover";

/** Which version is shown, and in which environment: a menu where there is a choice. */
function Switches({ page }: { page: ApiPage }) {
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const which = useWhich();
  const { chosen } = page;
  if (!chosen) return null;
  const go = (search: Record<string, string | undefined>) => void navigate({ to: pathname, search });
  const state = (s: string) => (isState(s) ? states(s) : s);
  return (
    <>
      {page.versions.length > 1 ? (
        <Menu
          align="start"
          label={w("version")}
          trigger={
            <button type="button" aria-label={w("versionNow", { version: majorOf(chosen.version) })} className={`${small} font-mono`}>
              {majorOf(chosen.version)}
              <Icon name="down" className="size-3.5" />
            </button>
          }
        >
          <MenuChoice label={w("version")} value={chosen.version} onChange={(v) => go({ version: majorOf(v), environment: which.environment && page.versions.find((o) => o.version === v)?.environments.includes(which.environment) ? which.environment : undefined })} options={page.versions.map((v) => ({ value: v.version, label: `${majorOf(v.version)} · ${state(v.state)}` }))} />
        </Menu>
      ) : (
        <span className="font-mono text-sm text-ink-3">{majorOf(chosen.version)}</span>
      )}
      {chosen.environments.length > 1 && (
        <Menu
          align="start"
          label={shell("environment")}
          trigger={
            <button type="button" aria-label={shell("environmentNow", { environment: chosen.environment ?? "" })} className={small}>
              <EnvironmentName name={chosen.environment ?? ""} />
              <Icon name="down" className="size-3.5" />
            </button>
          }
        >
          <MenuChoice label={shell("environment")} value={chosen.environment ?? ""} onChange={(environment) => go({ ...kept(which), environment })} options={chosen.environments.map((e) => ({ value: e.name, label: e.title || e.name, icon: /^prod/.test(e.name) ? "production" : "sandbox" }))} />
        </Menu>
      )}
      <StateBadge state={chosen.state} />
    </>
  );
}

function Head({ page, children }: { page: ApiPage; children: ReactNode }) {
  const which = useWhich();
  const { pathname } = useLocation();
  const below = pathname.split("/")[3] ?? "";
  const here = pages.find((p) => p.path === below) ?? pages[0];
  const title = here.title(page.title);
  // The tab keeps the focus, so that one can go on to the next; what came is said.
  const was = useRef(title);
  useEffect(() => {
    if (was.current !== title) say(title);
    was.current = title;
  }, [title]);
  const { chosen } = page;
  const retired = chosen?.state === "retired";
  const link = (to: (typeof pages)[number]["to"]): LinkProps => ({ to, params: { name: page.api }, search: kept(which) });
  return (
    <>
      <PageHead
        title={title}
        heading={page.title}
        before={<Glyph icon={page.icon} />}
        crumbs={[{ label: w("catalog"), link: { to: "/catalog" } }, ...(page.domain ? [{ label: page.domain.charAt(0).toUpperCase() + page.domain.slice(1), link: { to: "/catalog", search: { domain: page.domain } } as const }] : [])]}
        beside={<Switches page={page} />}
        actions={
          chosen && !retired && chosen.plans.length > 0 && (
            <ButtonLink kind="primary" to="/apis/$name/subscribe" params={{ name: page.api }} search={kept(which)}>
              {w("subscribe")}
            </ButtonLink>
          )
        }
      />
      <LinkTabs label={w("tabs", { title: page.title })} tabs={pages.map((p) => ({ link: link(p.to), label: p.label }))} />
      <div className="mt-6 grid gap-6">
        {chosen && <StateBanner page={page} chosen={chosen} />}
        {chosen && retired && here.tombstone ? <Tombstone chosen={chosen} /> : children}
      </div>
    </>
  );
}

/** What all pages of an API have around them: its head, the choice of version and environment, and tabs. */
export default function ApiFrame() {
  const query = useApiPage();
  const me = useQuery(meQuery);
  if (query.data === undefined && query.error instanceof Problem && query.error.hidden) return <NotFound loggedIn={Boolean(nameOf(me.data))} />;
  return (
    <Await query={query} what={w("page")} rows={8}>
      {(page) => (
        <Head page={page}>
          <Outlet />
        </Head>
      )}
    </Await>
  );
}
