import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { api, got, type Schemas } from "../api/client";
import { majorOf } from "../ui/api-card";
import { Tag } from "../ui/badge";
import { Banner } from "../ui/banner";
import { Card } from "../ui/card";
import { Field, Select } from "../ui/field";
import { Icon, type IconName } from "../ui/icon";
import { Await, Empty } from "../ui/states";
import { w } from "../words/api";
import { kept, useWhich, type ApiPage } from "./api";
import { joined } from "./words";

type Comparison = Schemas["VersionComparison"];
type Side = Schemas["FieldSide"];
type Change = Schemas["FieldChange"];

const parts = { key: "key", value: "value", headers: "headers" } as const;
const who: Record<string, string> = { readers: w("readers"), writers: w("writers") };

/** What clients notice; how to mend it is for those who own the API. */
function Finding({ of, owner }: { of: Schemas["ReaderFinding"]; owner: boolean }) {
  const [icon, tint]: [IconName, string] = of.breaking ? ["blocked", "text-bad"] : ["info", "text-ink-3"];
  return (
    <li className="flex items-start gap-3 border-b border-line px-4 py-2.5 text-sm last:border-0">
      <Icon name={icon} className={`mt-0.5 ${tint}`} />
      <div className="min-w-0 flex-1 [overflow-wrap:anywhere]">
        <span className="sr-only">{of.breaking ? w("breaking") : w("notice")}: </span>
        {of.message}
        <div className="text-xs text-ink-3">{[of.who.length > 0 && w("concerns", { who: joined(of.who.map((x) => who[x] ?? x)) }), owner && of.fix].filter(Boolean).join("; ")}</div>
      </div>
    </li>
  );
}

const said = (s: Side) => [s.type, ...(s.about ?? []), s.required ? w("required") : w("optional"), ...(s.deprecated ? [w("deprecatedField")] : [])].join(", ");

/** One line of the difference: sign, path, what it was or is. */
function Line({ sign, path, side, label }: { sign: "+" | "−"; path: string; side: Side; label: string }) {
  const tint = sign === "+" ? "bg-good-soft" : "bg-bad-soft";
  return (
    <div className={`grid grid-cols-[1.5rem_minmax(0,1fr)] px-3 py-0.5 ${tint}`}>
      <span aria-hidden="true" className={sign === "+" ? "text-good" : "text-bad"}>{sign}</span>
      <span className="[overflow-wrap:anywhere]">
        <span className="sr-only">{label}: </span>
        {path}: {said(side)}
      </span>
    </div>
  );
}

function Difference({ of, from, to }: { of: Change; from: string; to: string }) {
  const path = of.part === "value" ? of.path : `${w(parts[of.part])} ${of.path}`;
  return (
    <li>
      {of.before && <Line sign="−" path={path} side={of.before} label={w("before", { version: from })} />}
      {of.after && <Line sign="+" path={path} side={of.after} label={w("after", { version: to })} />}
    </li>
  );
}

function Differences({ of }: { of: Comparison }) {
  const channels = of.channels.filter((c) => c.change !== "same");
  if (channels.length === 0) return null;
  const from = of.from.version;
  const to = of.to.version;
  return (
    <section aria-labelledby="changes" className="grid gap-3">
      <h3 id="changes">{w("changes")}</h3>
      {channels.map((c) => {
        const topic = c.to || c.from || c.channel;
        const messages = (c.messages ?? []).filter((m) => m.fields.length > 0 || m.change === "added" || m.change === "removed");
        return (
          <div key={c.channel} className="min-w-0 overflow-hidden rounded-lg border border-line bg-bg-code">
            <h4 className="flex flex-wrap items-center gap-2 border-b border-line px-4 py-2 font-mono text-xs font-semibold [overflow-wrap:anywhere]">
              {c.from && c.to && c.from !== c.to ? `${c.from} → ${c.to}` : topic}
              {c.change === "added" && <Tag>{w("topicAdded")}</Tag>}
              {c.change === "removed" && <Tag>{w("topicRemoved")}</Tag>}
            </h4>
            {messages.length > 0 ? (
              <div role="region" tabIndex={0} aria-label={w("diffOf", { topic })} className="overflow-x-auto py-1 font-mono text-xs leading-[1.3125rem]">
                {messages.map((m) => (
                  <div key={m.message}>
                    <p className="flex items-center gap-2 px-4 py-1 font-sans text-xs text-ink-3">
                      {m.message}
                      {(m.change === "added" || m.change === "removed") && <Tag>{w(m.change)}</Tag>}
                    </p>
                    <ul>
                      {m.fields.map((f) => (
                        <Difference key={`${f.part} ${f.path}`} of={f} from={from} to={to} />
                      ))}
                    </ul>
                  </div>
                ))}
              </div>
            ) : (
              c.change === "changed" && <p className="px-4 py-2 text-sm text-ink-2">{c.from === c.to ? w("sameFields") : w("renamed")}</p>
            )}
          </div>
        );
      })}
    </section>
  );
}

/** What differs from one version to the one that is shown, in words first and field by field below. */
export function Compare({ page, from }: { page: ApiPage; from: string }) {
  const which = useWhich();
  const navigate = useNavigate();
  const to = majorOf(page.chosen?.version ?? "");
  const versions = page.versions.map((v) => majorOf(v.version));
  const query = useQuery({
    queryKey: ["api-compare", which.name, from, to],
    queryFn: ({ signal }) => got(api.GET("/v1/catalog/{name}/compare", { params: { path: { name: which.name }, query: { from, to } }, signal })),
  });
  const go = (search: { version: string; compare: string }) => void navigate({ to: "/apis/$name/reference", params: { name: which.name }, search, resetScroll: false });
  return (
    <div className="grid max-w-result gap-5">
      <div className="flex flex-wrap items-end justify-between gap-x-6 gap-y-3">
        <div className="min-w-0">
          <Link to="/apis/$name/reference" params={{ name: which.name }} search={kept(which)} className="inline-flex items-center gap-1 py-0.5 text-sm">
            <Icon name="left" className="size-3" />
            {w("backToFields")}
          </Link>
          <h2>{w("compareTitle", { from: `${which.name}.${from}`, to: `${which.name}.${to}` })}</h2>
        </div>
        {versions.length > 1 && (
          <div className="flex gap-2">
            <Field label={w("compareFrom")}>
              <Select look="sm" className="min-w-20" value={from} onChange={(e) => go({ version: to, compare: e.target.value })}>
                {versions.filter((v) => v !== to).map((v) => <option key={v}>{v}</option>)}
              </Select>
            </Field>
            <Field label={w("compareTo")}>
              <Select look="sm" className="min-w-20" value={to} onChange={(e) => go({ version: e.target.value, compare: e.target.value === from ? to : from })}>
                {versions.map((v) => <option key={v}>{v}</option>)}
              </Select>
            </Field>
          </div>
        )}
      </div>
      <Await query={query} what={w("changes")} card>
        {(data) => {
          const breaking = data.findings.filter((f) => f.breaking).length;
          if (data.findings.length === 0 && data.channels.every((c) => c.change === "same")) {
            return (
              <Card>
                <Empty icon="published" title={w("sameTitle")}>
                  <p>{w("same")}</p>
                </Empty>
              </Card>
            );
          }
          return (
            <div className="grid gap-6">
              {data.breaks ? (
                <Banner kind="refusal" title={w("breaksTitle", { from: data.from.version, to: data.to.version })}>
                  {w("breaks", { count: breaking })}
                </Banner>
              ) : (
                <Banner kind="success" title={w("worksTitle", { from: data.from.version, to: data.to.version })} />
              )}
              {data.findings.length > 0 && (
                <Card>
                  <ul>
                    {data.findings.map((f, i) => (
                      <Finding key={i} of={f} owner={Boolean(page.owner)} />
                    ))}
                  </ul>
                </Card>
              )}
              <Differences of={data} />
            </div>
          );
        }}
      </Await>
    </div>
  );
}
