import { Link } from "@tanstack/react-router";
import { Fragment, type ReactNode } from "react";
import type { Schemas } from "../api/client";
import { ButtonLink } from "../ui/button";
import { Card } from "../ui/card";
import { ServerHtml } from "../ui/html";
import { Empty } from "../ui/states";
import { TopicName } from "../ui/topic";
import { w } from "../words/api";
import type { ApiPage, Chosen } from "./api";
import { joined, limit, limitNames, signIn } from "./words";

type Plan = Schemas["APIPlan"];

interface Row {
  head: string;
  cell: (plan: Plan) => ReactNode;
}

const may = { deleteRecords: "deleteRecords", alterConfigs: "alterConfigs" } as const;
const manages = (plan: Plan) => (plan.manage ?? []).flatMap((m) => m.may.map((what) => (Object.hasOwn(may, what) ? w(may[what as keyof typeof may], { topic: m.topic }) : `${what} ${m.topic}`)));

function Topics({ topics, of }: { topics: readonly string[]; of: number }) {
  if (topics.length === 0) return w("no");
  if (topics.length === of && of > 1) return w("allTopics", { count: of });
  return topics.map((t) => (
    <span key={t} className="block font-mono text-xs leading-5 break-words">
      <TopicName name={t} />
    </span>
  ));
}

/** What plans differ in; what none of them has is left out. */
function rowsOf(page: ApiPage, chosen: Chosen): readonly Row[] {
  const { plans } = chosen;
  const rows: Row[] = [];
  for (const [name, word] of Object.entries(limitNames)) {
    if (plans.some((p) => p.limits.some((l) => l.name === name))) rows.push({ head: w(word), cell: (p) => limit(p.limits.find((l) => l.name === name), name) });
  }
  rows.push({ head: w("signIn"), cell: (p) => signIn(p.auth) });
  if (chosen.read.length > 0) rows.push({ head: w("canRead"), cell: (p) => <Topics topics={p.read} of={chosen.read.length} /> });
  if (chosen.write.length > 0) rows.push({ head: w("canWrite"), cell: (p) => <Topics topics={p.write} of={chosen.write.length} /> });
  if (plans.some((p) => p.manage?.length)) rows.push({ head: w("manages"), cell: (p) => joined(manages(p)) || w("no") });
  if (plans.some((p) => p.versions.length > 1)) rows.push({ head: w("comesWith"), cell: (p) => p.versions.filter((v) => v !== chosen.version).join(", ") || w("none") });
  rows.push({
    head: w("approval"),
    cell: (p) => (
      <>
        {p.approval === "automatic" ? w("atOnce") : page.team ? w("byTeam", { team: page.team }) : w("byOwner")}
        {p.form && p.form.length > 0 && <span className="block text-ink-3">{w("asks", { count: p.form.length })}</span>}
      </>
    ),
  });
  return rows;
}

/** The way to a plan, or who has it. */
function Act({ page, chosen, plan }: { page: ApiPage; chosen: Chosen; plan: Plan }) {
  const has = [...new Set((page.mine ?? []).filter((m) => plan.mine?.includes(m.subscription)).map((m) => m.application))];
  return (
    <>
      <ButtonLink
        className="w-full"
        to="/apis/$name/subscribe"
        params={{ name: page.api }}
        search={{ product: plan.product, plan: plan.plan, ...(chosen.environment && { environment: chosen.environment }) }}
      >
        <span className="truncate">{w(plan.approval === "automatic" ? "subscribeTo" : "request", { plan: title(plan.plan) })}</span>
      </ButtonLink>
      {has.length > 0 && (
        <span className="mt-1.5 block text-center text-xs text-ink-3">
          {w.rich("has", {
            count: has.length,
            names: has.map((name, i) => (
              <Fragment key={name}>
                {i > 0 && ", "}
                <Link to="/apps">{name}</Link>
              </Fragment>
            )),
          })}
        </span>
      )}
    </>
  );
}

const title = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);

function Name({ plan, many }: { plan: Plan; many: boolean }) {
  return (
    <>
      <span className="text-lg font-[650] text-ink">{title(plan.plan)}</span>
      {many && (
        <Link to="/products/$name" params={{ name: plan.product }} className="block text-xs font-normal">
          {plan.productTitle || plan.product}
        </Link>
      )}
    </>
  );
}

const sideBySide = 4; // that share the width; more scroll

/** Plans of one product stand together, in the order in which products come. */
function grouped(plans: readonly Plan[]): readonly Plan[] {
  const order = [...new Set(plans.map((p) => p.product))];
  return plans.toSorted((a, b) => order.indexOf(a.product) - order.indexOf(b.product));
}

/** What one agrees to, of each product that has terms. */
function Terms({ plans }: { plans: readonly Plan[] }) {
  const products = [...new Map(plans.filter((p) => p.terms).map((p) => [p.product, p])).values()];
  return products.map((p) => (
    <details key={p.product} className="rounded-lg border border-line bg-raised px-4 py-2.5 text-sm">
      <summary className="font-semibold">{w("terms", { product: p.productTitle || p.product })}</summary>
      <ServerHtml html={p.terms ?? ""} className="mt-2 max-w-(--w-prose) text-ink-2" />
    </details>
  ));
}

/** All plans that have the version, side by side; stacked when narrow. */
export function Plans({ page, chosen }: { page: ApiPage; chosen: Chosen }) {
  const plans = grouped(chosen.plans);
  if (plans.length === 0) {
    return (
      <Card>
        <Empty icon="coin" title={w("noPlansTitle")}>
          <p>{page.team ? w("noPlans", { team: page.team, version: chosen.version }) : w("noPlansNobody", { version: chosen.version })}</p>
        </Empty>
      </Card>
    );
  }
  const rows = rowsOf(page, chosen);
  const many = new Set(plans.map((p) => p.product)).size > 1;
  const key = (p: Plan) => `${p.product} ${p.plan}`;
  const own = (p: Plan) => (p.mine?.length ? "bg-accent-soft" : "");
  return (
    <>
      <div role="region" aria-label={w("plansTable")} tabIndex={0} className="hidden overflow-x-auto rounded-lg border border-line bg-raised wide:block">
        <table className={`w-full border-collapse text-sm ${plans.length <= sideBySide ? "table-fixed" : ""}`}>
          <thead>
            <tr>
              <th scope="col" className="w-30 border-b border-line px-4 py-[0.5625rem] text-left text-xs font-normal text-ink-3">{w("plan")}</th>
              {plans.map((p) => (
                <th key={key(p)} scope="col" className={`min-w-40 border-b border-line px-4 py-[0.5625rem] text-left align-top ${own(p)}`}>
                  <Name plan={p} many={many} />
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((r) => (
              <tr key={r.head}>
                <th scope="row" className="border-b border-line px-4 py-[0.5625rem] text-left align-top font-normal text-ink-3">{r.head}</th>
                {plans.map((p) => (
                  <td key={key(p)} className={`border-b border-line px-4 py-[0.5625rem] align-top ${own(p)}`}>
                    {r.cell(p)}
                  </td>
                ))}
              </tr>
            ))}
            <tr>
              <td>
                <span className="sr-only">{w("subscribe")}</span>
              </td>
              {plans.map((p) => (
                <td key={key(p)} className={`p-4 align-top ${own(p)}`}>
                  <Act page={page} chosen={chosen} plan={p} />
                </td>
              ))}
            </tr>
          </tbody>
        </table>
      </div>
      <ul className="grid gap-3 wide:hidden">
        {plans.map((p) => (
          <li key={key(p)} className={`min-w-0 rounded-lg border border-line p-4 ${own(p) || "bg-raised"}`}>
            <h3 className="mb-2">
              <Name plan={p} many={many} />
            </h3>
            <dl className="mb-3 grid grid-cols-[7rem_minmax(0,1fr)] gap-x-3 gap-y-1.5 text-sm">
              {rows.map((r) => (
                <Fragment key={r.head}>
                  <dt className="text-ink-3">{r.head}</dt>
                  <dd className="min-w-0 [overflow-wrap:anywhere]">{r.cell(p)}</dd>
                </Fragment>
              ))}
            </dl>
            <Act page={page} chosen={chosen} plan={p} />
          </li>
        ))}
      </ul>
      <Terms plans={plans} />
    </>
  );
}
