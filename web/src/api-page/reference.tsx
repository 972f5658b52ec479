import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "../api/client";
import { majorOf } from "../ui/api-card";
import { Badge, Tag } from "../ui/badge";
import { ButtonLink } from "../ui/button";
import { Card } from "../ui/card";
import { Pieces, Samples, type Sample } from "../ui/code";
import { CopyButton } from "../ui/copy";
import { Choice, Field, SearchInput, Select } from "../ui/field";
import { highlight } from "../ui/highlight";
import { ServerHtml } from "../ui/html";
import { rate } from "../ui/numbers";
import { Await, Empty } from "../ui/states";
import { TopicName } from "../ui/topic";
import { w } from "../words/api";
import { kept, referenceQuery, useApiPage, useWhich } from "./api";
import { Compare } from "./compare";
import { FieldTree } from "./tree";
import { keptFor } from "./words";

type Channel = Schemas["ReferenceChannel"];
type Message = Schemas["ReferenceMessage"];
type Schema = Schemas["ReferenceSchema"];
type Part = "key" | "value" | "headers";

const parts = { key: "key", value: "value", headers: "headers" } as const;

/** The topics of one direction, at the left. */
function TopicList({ title, channels, chosen }: { title: string; channels: readonly Channel[]; chosen: Channel }) {
  const which = useWhich();
  if (channels.length === 0) return null;
  return (
    <div>
      <h2 className="text-sm leading-5 tracking-normal">{title}</h2>
      <ul className="mt-1">
        {channels.map((c) => (
          <li key={c.channel}>
            <Link
              to="/apis/$name/reference"
              params={{ name: which.name }}
              search={{ ...kept(which), topic: c.topic }}
              resetScroll={false}
              activeProps={{}}
              aria-current={c === chosen ? "true" : undefined}
              className="block border-l-2 border-line px-2.5 py-1 font-mono text-[0.78125rem] leading-5 break-words text-ink-2 hover:border-line-control hover:text-ink hover:no-underline aria-[current=true]:border-accent aria-[current=true]:font-semibold aria-[current=true]:text-accent-text"
            >
              <TopicName name={c.topic} />
            </Link>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** A key, a value or headers: a tree of fields, or what the whole is. */
function SchemaPart({ part, schema, name, words, chosen, find }: { part: Part; schema: Schema; name?: string | undefined; words: string; chosen: string | undefined; find?: React.ReactNode }) {
  const title = w(parts[part]);
  return (
    <section aria-label={title} className="grid gap-2">
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2">
        <h3>
          {title} <span className="text-sm font-normal tracking-normal text-ink-3">{[schema.name, schema.format].filter(Boolean).join(", ")}</span>
        </h3>
        {find}
      </div>
      <Card className="overflow-hidden">
        {schema.fields.length > 0 ? (
          <>
            <FieldTree key={chosen ?? ""} label={title} fields={schema.fields} query={words} chosen={chosen} />
            {schema.cut && <p className="border-t border-line px-4 py-2 text-xs text-ink-3">{w("cut")}</p>}
          </>
        ) : (
          <p className="flex flex-wrap items-baseline gap-x-2 px-5 py-3.5 text-sm">
            {name && <span className="font-mono text-[0.78125rem] font-semibold">{name}</span>}
            <span className="font-mono text-xs">{[schema.type, ...(schema.about ?? [])].join(", ")}</span>
          </p>
        )}
      </Card>
    </section>
  );
}

/** The schemas as they were written. */
function Sources({ message }: { message: Message }) {
  const all = (Object.keys(parts) as Part[]).flatMap((part) => (message[part] ? [{ part, schema: message[part] }] : []));
  return (
    <div className="grid gap-4">
      {all.map(({ part, schema }) => (
        <section key={part} aria-label={w(parts[part])} className="min-w-0 overflow-hidden rounded-lg border border-line bg-bg-code">
          <div className="flex min-h-[2.625rem] items-center gap-3 border-b border-line py-1.5 pr-2 pl-4 text-sm text-ink-2">
            <h3 className="flex-1 text-sm leading-5 font-normal tracking-normal">{w("sourceOf", { part: w(parts[part]), format: schema.format })}</h3>
            <CopyButton text={schema.source} what={w(parts[part])} />
          </div>
          <pre tabIndex={0} aria-label={w("sourceOf", { part: w(parts[part]), format: schema.format })} className="max-h-[40rem] overflow-auto px-4 py-3.5 text-[0.78125rem] leading-[1.3125rem] [tab-size:4]">
            <code className="text-[1em]">
              <Pieces pieces={highlight(schema.source, schema.language)} />
            </code>
          </pre>
        </section>
      ))}
    </div>
  );
}

function samplesOf(message: Message): readonly Sample[] {
  return (message.examples ?? []).flatMap((e, i) => {
    const name = e.summary || e.name || `${w("anExample")} ${i + 1}`;
    return [...(e.value ? [{ name, pieces: highlight(e.value, "json") }] : []), ...(e.headers ? [{ name: w("exampleHeaders", { name }), pieces: highlight(e.headers, "json") }] : [])];
  });
}

/** What else is known of a record: examples, CloudEvents, how schemas are named. */
function More({ message }: { message: Message }) {
  const samples = samplesOf(message);
  const { cloudEvents: events, registry } = message;
  const facts = Boolean(events || message.correlation || registry);
  if (samples.length === 0 && !facts) return null;
  return (
    <div className={`grid items-start gap-6 ${samples.length > 0 && facts ? "full:grid-cols-2" : ""}`}>
      {samples.length > 0 && (
        <section aria-label={w("examples")} className="grid min-w-0 gap-2">
          <h3>{w("examples")}</h3>
          <Samples label={w("examples")} samples={samples} />
        </section>
      )}
      {facts && (
        <div className="grid min-w-0 gap-6">
          {events && (
            <section aria-label={w("events")} className="grid gap-2">
              <h3>{w("events")}</h3>
              <Card pad className="grid gap-3 text-sm">
                <p className="text-ink-2">{events.mode === "binary" ? w("eventsBinary") : w("eventsStructured")}</p>
                {events.headers && events.headers.length > 0 && (
                  <p className="flex flex-wrap gap-1.5">
                    {events.headers.map((h) => (
                      <Tag key={h} mono>
                        {h}
                      </Tag>
                    ))}
                  </p>
                )}
              </Card>
            </section>
          )}
          {message.correlation && (
            <section aria-label={w("correlation")} className="grid gap-2">
              <h3>{w("correlation")}</h3>
              <Card pad>
                <code className="text-xs [overflow-wrap:anywhere]">{message.correlation}</code>
              </Card>
            </section>
          )}
          {registry && (
            <section aria-label={w("registry")} className="grid gap-2">
              <h3>{w("registry")}</h3>
              <Card pad className="text-sm">
                {[registry.location && w("registryIn", { location: registry.location }), registry.encoding, registry.strategy].filter(Boolean).join(", ")}
              </Card>
            </section>
          )}
        </div>
      )}
    </div>
  );
}

function OneMessage({ message, of, source }: { message: Message; of: string | undefined; source: boolean }) {
  const search: Record<string, string | undefined> = useSearch({ strict: false });
  const [words, setWords] = useState("");
  const chosen = (part: Part) => (search["field"] && (search["part"] ?? "value") === part ? search["field"] : undefined);
  const written = (Object.keys(parts) as Part[]).filter((p) => message[p]);
  // The search stands at the part that has the most to find.
  const most = written.toSorted((a, b) => (message[b]?.fields.length ?? 0) - (message[a]?.fields.length ?? 0))[0];
  const find = <SearchInput look="sm" label={w("findField")} placeholder={w("findField")} className="w-full wide:w-48" value={words} onChange={(e) => setWords(e.target.value)} />;
  if (written.length === 0) {
    return (
      <Card>
        <Empty icon="field" title={w("noSchemaTitle")}>
          <p>{w("noSchema")}</p>
        </Empty>
      </Card>
    );
  }
  return (
    <>
      {source ? (
        <Sources message={message} />
      ) : (
        written.map((part) => {
          const schema = message[part];
          return schema && <SchemaPart key={part} part={part} schema={schema} name={part === "key" ? of : undefined} words={words} chosen={chosen(part)} find={part === most && schema.fields.length > 0 ? find : undefined} />;
        })
      )}
      {!source && <More message={message} />}
    </>
  );
}

function Topic({ channel, versions, version }: { channel: Channel; versions: readonly string[]; version: string }) {
  const which = useWhich();
  const search: Record<string, string | undefined> = useSearch({ strict: false });
  const navigate = useNavigate();
  const message = channel.contents.find((m) => m.name === search["message"]) ?? channel.contents[0];
  const source = search["view"] === "source";
  const facts = [
    channel.partitions !== undefined && w("partitionCount", { count: channel.partitions }),
    channel.key && w("ordered", { key: channel.key }),
    channel.retention && w("keptFor", { time: keptFor(channel.retention) }),
    channel.activity?.rate !== undefined && rate(channel.activity.rate),
  ].filter(Boolean);
  const other = versions.find((v) => v !== version);
  const go = (more: Record<string, string | undefined>) => void navigate({ to: "/apis/$name/reference", params: { name: which.name }, search: { ...kept(which), topic: channel.topic, message: search["message"], view: search["view"], ...more }, resetScroll: false });
  return (
    <>
      <div className="flex flex-wrap items-start justify-between gap-x-4 gap-y-3">
        <div className="min-w-0">
          <h2 className="font-mono text-[1.125rem] [overflow-wrap:anywhere]">{channel.topic}</h2>
          {facts.length > 0 && <p className="text-sm text-ink-2">{facts.join(", ")}</p>}
        </div>
        <div className="flex flex-wrap items-center gap-2">
          <Choice label={w("showAs")} value={source ? "source" : "fields"} onChange={(to) => go({ view: to === "source" ? to : undefined })} options={[{ value: "fields", label: w("fields") }, { value: "source", label: message?.value?.format && message.value.format !== "other" ? message.value.format : w("source") }]} />
          {other && (
            <ButtonLink size="sm" to="/apis/$name/reference" params={{ name: which.name }} search={{ ...kept(which), topic: channel.topic, compare: majorOf(other) }}>
              {w("compare", { version: majorOf(other) })}
            </ButtonLink>
          )}
        </div>
      </div>
      {channel.contents.length > 1 && (
        <Field label={w("message")} className="max-w-96">
          <Select value={message?.name} onChange={(e) => go({ message: e.target.value })}>
            {channel.contents.map((m) => (
              <option key={m.name} value={m.name}>
                {m.title || m.name}
              </option>
            ))}
          </Select>
        </Field>
      )}
      {message ? (
        <>
          {(message.summary || message.description || message.deprecated) && (
            <div className="max-w-(--w-prose) text-ink-2">
              {message.deprecated && <Badge state="deprecated" />}
              {message.description ? <ServerHtml html={message.description} /> : <p>{message.summary}</p>}
            </div>
          )}
          <OneMessage key={`${channel.channel} ${message.name}`} message={message} of={channel.key} source={source} />
        </>
      ) : (
        <Card>
          <Empty icon="field" title={w("noSchemaTitle")}>
            <p>{w("noMessages")}</p>
          </Empty>
        </Card>
      )}
    </>
  );
}

/** What the records of an API are, topic by topic; or what differs from another version. */
export default function Reference() {
  const which = useWhich();
  const search: Record<string, string | undefined> = useSearch({ strict: false });
  const navigate = useNavigate();
  const reference = useQuery(referenceQuery(which));
  const page = useApiPage().data;
  if (!page) return null;
  if (search["compare"]) return <Compare page={page} from={search["compare"]} />;
  return (
    <Await query={reference} what={w("reference")} rows={10} card>
      {(data) => {
        const read = data.channels.filter((c) => c.read);
        const write = data.channels.filter((c) => c.write && !c.read);
        const chosen = data.channels.find((c) => c.topic === search["topic"] || c.channel === search["topic"]) ?? read[0] ?? write[0];
        if (!chosen) {
          return (
            <Card>
              <Empty icon="field" level={2} title={w("noSchemaTitle")}>
                <p>{w("noMessages")}</p>
              </Empty>
            </Card>
          );
        }
        return (
          <div className="grid items-start gap-8 full:grid-cols-[12rem_minmax(0,1fr)]">
            <nav aria-label={w("topics")} className="sticky top-20 hidden gap-4 full:grid">
              <TopicList title={w("canRead")} channels={read} chosen={chosen} />
              <TopicList title={w("canWrite")} channels={write} chosen={chosen} />
            </nav>
            <div className="grid min-w-0 gap-6">
              {data.channels.length > 1 && (
                <Field label={w("chooseTopic")} className="full:hidden">
                  <Select value={chosen.topic} onChange={(e) => void navigate({ to: "/apis/$name/reference", params: { name: which.name }, search: { ...kept(which), topic: e.target.value }, resetScroll: false })}>
                    {data.channels.map((c) => (
                      <option key={c.channel} value={c.topic}>
                        {c.topic}
                      </option>
                    ))}
                  </Select>
                </Field>
              )}
              <Topic channel={chosen} versions={page.versions.filter((v) => v.state !== "retired").map((v) => v.version)} version={data.version} />
            </div>
          </div>
        );
      }}
    </Await>
  );
}
