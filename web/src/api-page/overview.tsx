import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Schemas } from "../api/client";
import { majorOf, rateNow } from "../ui/api-card";
import { Tag } from "../ui/badge";
import { Card, Section } from "../ui/card";
import { Facts } from "../ui/facts";
import { ServerHtml } from "../ui/html";
import { Icon } from "../ui/icon";
import { full } from "../ui/numbers";
import { Empty } from "../ui/states";
import { Table, type Column } from "../ui/table";
import { Ago } from "../ui/time";
import { w } from "../words/api";
import { kept, useApiPage, useWhich, type ApiPage, type Chosen } from "./api";
import { Plans } from "./plans";
import { compatibility, keptFor } from "./words";

type Channel = Schemas["APIChannel"];

/** The topics of one direction, each with a sign of life where one is known. */
function Topics({ title, id, channels }: { title: string; id: string; channels: readonly Channel[] }) {
  const which = useWhich();
  const alive = channels.some((c) => c.activity);
  const columns: readonly Column<Channel>[] = [
    {
      key: "topic",
      head: w("topic"),
      cell: (c) => (
        <div className="flex items-start gap-2">
          <Icon name="open" className="mt-0.5 text-good" />
          <div className="min-w-0 flex-1">
            <Link to="/apis/$name/reference" params={{ name: which.name }} search={{ ...kept(which), topic: c.topic }} className="font-mono text-[0.78125rem] font-semibold [overflow-wrap:anywhere]">
              {c.topic}
            </Link>
            {c.description ? <ServerHtml html={c.description} className="text-sm text-ink-2" /> : c.title && <div className="text-ink-2">{c.title}</div>}
          </div>
        </div>
      ),
    },
    { key: "key", head: w("key"), label: w("key"), className: "font-mono !text-xs", cell: (c) => c.key || <span className="font-sans text-ink-3">{w("none")}</span> },
    ...(alive
      ? [
          { key: "rate", head: w("rate"), label: w("rate"), number: true, cell: (c: Channel) => <span className="whitespace-nowrap">{rateNow(c.activity)}</span> },
          { key: "last", head: w("lastEvent"), label: w("lastEvent"), number: true, cell: (c: Channel) => <span className="whitespace-nowrap">{c.activity?.lastEvent ? <Ago at={c.activity.lastEvent} /> : w("none")}</span> },
        ]
      : [
          { key: "partitions", head: w("partitions"), label: w("partitions"), number: true, cell: (c: Channel) => (c.partitions === undefined ? "" : full(c.partitions)) },
          { key: "kept", head: w("kept"), label: w("kept"), number: true, cell: (c: Channel) => <span className="whitespace-nowrap">{keptFor(c.retention)}</span> },
        ]),
  ];
  return (
    <Section id={id} title={title}>
      <Card>
        <Table caption={title} columns={columns} rows={channels} rowKey={(c) => c.channel} />
      </Card>
    </Section>
  );
}

const visible = { private: "private", team: "teamOnly", partner: "partner", public: "public" } as const;

/** What stands at the side. */
function Side({ page, chosen }: { page: ApiPage; chosen: Chosen | undefined }) {
  const f = chosen?.facts;
  const facts: (readonly [ReactNode, ReactNode])[] = [];
  if (page.team) facts.push([w("owner"), w("team", { team: page.teamTitle || page.team })]);
  if (chosen && f?.revision) {
    facts.push([
      w("version"),
      <>
        {w("versionFact", { version: majorOf(chosen.version), revision: f.revision })}
        {f.deployed && <span className="block text-ink-3">{w.rich("deployed", { ago: <Ago at={f.deployed} /> })}</span>}
      </>,
    ]);
  }
  if (chosen?.environment) facts.push([w("environment"), chosen.environments.find((e) => e.name === chosen.environment)?.title || chosen.environment]);
  if (f?.formats.length) facts.push([w("format"), f.formats.join(", ")]);
  if (f?.compatibility) facts.push([w("compatibility"), compatibility(f.compatibility)]);
  if (f?.orderingKey) facts.push([w("ordering"), w("perKey", { key: f.orderingKey })]);
  if (f?.partitions !== undefined) facts.push([w("partitions"), full(f.partitions)]);
  if (f?.retention) facts.push([w("retention"), keptFor(f.retention)]);
  if (f?.subscribers !== undefined) facts.push([w("subscribers"), w("applications", { count: f.subscribers })]);
  if (page.visibility && Object.hasOwn(visible, page.visibility)) facts.push([w("visibility"), w(visible[page.visibility as keyof typeof visible])]);
  if (page.tags?.length) {
    facts.push([
      w("tags"),
      <span key="tags" className="flex flex-wrap gap-1">
        {page.tags.map((t) => (
          <Link key={t} to="/catalog" search={{ tag: t }} className="!no-underline">
            <Tag>{t}</Tag>
          </Link>
        ))}
      </span>,
    ]);
  }
  const document = (format: string) => `/v1/catalog/${encodeURIComponent(page.api)}/asyncapi?${new URLSearchParams({ ...(chosen && { version: chosen.version }), ...(chosen?.environment && { environment: chosen.environment }), format }).toString()}`;
  const chip = "inline-flex h-[1.625rem] items-center gap-[0.3125rem] rounded-full border border-line-strong bg-bg px-[0.5625rem] text-xs whitespace-nowrap text-ink-2 hover:bg-hover hover:text-ink hover:no-underline";
  return (
    <aside aria-label={w("facts")} className="grid min-w-0 content-start gap-6">
      {facts.length > 0 && (
        <Card className="px-5 py-4">
          <Facts facts={facts} />
        </Card>
      )}
      {chosen?.environment && (
        <div className="grid gap-2">
          <h2 className="text-sm leading-5 tracking-normal">{w("machines")}</h2>
          <div className="flex flex-wrap gap-2">
            <a className={chip} href={document("yaml")} download={`${chosen.version}.asyncapi.yaml`}>
              <Icon name="download" className="size-3" />
              AsyncAPI YAML
            </a>
            <a className={chip} href={document("json")} download={`${chosen.version}.asyncapi.json`}>JSON</a>
          </div>
        </div>
      )}
      <div className="grid gap-2">
        <h2 className="text-sm leading-5 tracking-normal">{w("help")}</h2>
        <p className="text-sm text-ink-2">
          {page.support?.email ? w.rich("helpEmail", { email: <a href={`mailto:${page.support.email}`}>{page.support.email}</a> }) : page.team ? w("helpTeam", { team: page.team }) : w("supportNoTeam")}{" "}
          {page.support?.url && <a href={page.support.url} rel="noreferrer">{w("helpPage")}</a>}
        </p>
      </div>
    </aside>
  );
}

/** What an API is, what one may do with it, and how one gets it. */
export default function Overview() {
  const page = useApiPage().data;
  if (!page) return null;
  const { chosen } = page;
  return (
    <div className="grid items-start gap-8 full:grid-cols-[minmax(0,1fr)_18.5rem] full:gap-10">
      <div className="grid min-w-0 gap-8">
        {page.description && <ServerHtml html={page.description} className="max-w-(--w-prose) text-lg" />}
        {!chosen && (
          <Card>
            <Empty icon="flow" level={2} title={w("noVersionTitle", { title: page.title })}>
              <p>{w("noVersion")}</p>
            </Empty>
          </Card>
        )}
        {chosen && !chosen.environment && (
          <Card>
            <Empty icon="draft" level={2} title={w("nowhereTitle", { version: chosen.version })}>
              <p>{w("nowhere")}</p>
            </Empty>
          </Card>
        )}
        {chosen && chosen.read.length > 0 && <Topics title={w("canRead")} id="read" channels={chosen.read} />}
        {chosen && chosen.write.length > 0 && <Topics title={w("canWrite")} id="write" channels={chosen.write} />}
        {chosen?.environment && (
          <Section id="plans" title={w("plans")} actions={<span className="text-sm text-ink-2">{w("plansIn", { environment: chosen.environment })}</span>}>
            <Plans page={page} chosen={chosen} />
          </Section>
        )}
      </div>
      <Side page={page} chosen={chosen} />
    </div>
  );
}
