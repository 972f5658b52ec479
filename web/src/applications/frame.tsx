import { useQuery } from "@tanstack/react-query";
import { useParams, useRouter } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Problem } from "../api/client";
import { meQuery } from "../api/queries";
import { nameOf } from "../account/me";
import Lost from "../lost/lost";
import { isProduction } from "../ui/badge";
import { Banner } from "../ui/banner";
import { ButtonLink } from "../ui/button";
import { Icon } from "../ui/icon";
import { Menu, MenuChoice } from "../ui/menu";
import { PageHead } from "../ui/page";
import { Failed, Loading } from "../ui/states";
import { LinkTabs } from "../ui/tabs";
import { w } from "../words/applications";
import { w as shell } from "../words/shell";
import { applicationQuery, credentialsQuery, environmentsQuery, subscriptionsQuery } from "./documents";

const parts = { overview: "", credentials: "/credentials", rights: "/rights", refused: "/refused" } as const;
export type Part = keyof typeof parts;

/** Which environment, as part of the address: another one keeps the page. */
export function EnvironmentSwitch({ now, all, onChange }: { now: string; all: readonly string[]; onChange: (to: string) => void }) {
  return (
    <Menu
      label={w("environment")}
      align="start"
      trigger={
        <button type="button" aria-label={shell("environmentNow", { environment: now })} className="inline-flex h-8 items-center gap-[0.4375rem] rounded-md border border-line-strong bg-bg px-2.5 text-sm font-semibold whitespace-nowrap hover:bg-hover">
          <Icon name={isProduction(now) ? "production" : "sandbox"} className="size-3.5" />
          {now}
          <Icon name="down" className="size-3.5" />
        </button>
      }
    >
      <MenuChoice label={w("environment")} value={now} onChange={onChange} options={all.map((e) => ({ value: e, label: e, icon: isProduction(e) ? "production" : "sandbox" }))} />
    </Menu>
  );
}

/** The address that a page of an application has. */
export function useApplication(): { name: string; environment: string } {
  const { name = "", environment = "" } = useParams({ strict: false });
  return { name, environment };
}

/** Where an application may be looked at: environments that there are, and those where it has something. */
export function useEnvironments(name: string): readonly string[] | undefined {
  const known = useQuery(environmentsQuery);
  const subscriptions = useQuery(subscriptionsQuery(name));
  const credentials = useQuery(credentialsQuery(name));
  if (!known.data && !subscriptions.data) return undefined;
  const all = [...(known.data ?? []), ...[...(subscriptions.data ?? []), ...(credentials.data ?? [])].flatMap((d) => d.meta.environment ?? [])];
  return [...new Set(all)].toSorted();
}

/** The pages of one application in one environment: its head, and the tabs. */
export function ApplicationFrame({ part, children }: { part: Part; children: ReactNode }) {
  const { name, environment } = useApplication();
  const router = useRouter();
  const me = useQuery(meQuery);
  const application = useQuery(applicationQuery(name));
  const environments = useEnvironments(name);
  if (application.error instanceof Problem && (application.error.hidden || application.error.notAllowed)) return <Lost />;
  if (application.isError && !application.data) return <Failed error={application.error} again={() => void application.refetch()} />;
  if (!application.data || !me.data) return <Loading what={name} />;
  const label = part === "overview" ? name : `${w(part)} · ${name}`;
  const go = (to: string) => void router.navigate({ href: `/apps/${encodeURIComponent(name)}/${encodeURIComponent(to)}${parts[part]}` });
  return (
    <>
      <PageHead
        title={`${label} · ${environment}`}
        heading={name}
        crumbs={[{ label: w("title"), link: { to: "/apps" } }]}
        beside={environments && <EnvironmentSwitch now={environment} all={environments} onChange={go} />}
        actions={nameOf(me.data) && <ButtonLink kind="primary" to="/catalog">{w("addSubscription")}</ButtonLink>}
      />
      <LinkTabs
        label={w("tabs", { name })}
        tabs={[
          { link: { to: "/apps/$name/$environment", params: { name, environment } }, label: w("overview") },
          { link: { to: "/apps/$name/$environment/credentials", params: { name, environment } }, label: w("credentials") },
          { link: { to: "/apps/$name/$environment/rights", params: { name, environment } }, label: w("rights") },
          { link: { to: "/apps/$name/$environment/refused", params: { name, environment } }, label: w("refused") },
        ]}
      />
      <div className="mt-6 grid grid-cols-1 gap-8">
        {application.data.spec.suspended && <Banner kind="warning" icon="pause">{w("suspendedAll")}</Banner>}
        {children}
      </div>
    </>
  );
}
