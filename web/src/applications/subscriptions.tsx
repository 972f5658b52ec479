import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { Badge, StateBadge } from "../ui/badge";
import { ButtonLink } from "../ui/button";
import { Card, Section } from "../ui/card";
import { Await, Empty } from "../ui/states";
import { Sub, Table, type Column } from "../ui/table";
import { Ago } from "../ui/time";
import { w } from "../words/applications";
import { effectiveQuery, subscriptionsQuery, type Doc, type SubscriptionSpec } from "./documents";

type Topic = Schemas["EffectiveTopic"];

interface Row {
  subscription: Doc<SubscriptionSpec>;
  topics: readonly Topic[];
}

// How a gateway calls it, in the words of the portal.
const words: Record<string, "open" | "withheld" | "ended" | "refused" | "suspended"> = { open: "open", suspended: "withheld", "brown-out": "withheld", withheld: "withheld", ended: "ended", refused: "refused" };

/** How a topic stands, by the word of the gateway. */
export function TopicState({ topic }: { topic: Topic }) {
  const state = words[topic.now.state];
  return (
    <>
      {state ? <Badge state={state} /> : <StateBadge state={topic.now.state} />}
      {state !== "open" && topic.now.rule && <Sub>{topic.now.rule}</Sub>}
      {topic.next?.[0]?.from && (
        <Sub>
          {w.rich("next", { state: topic.next[0].state, ago: <Ago at={topic.next[0].from} /> })}
        </Sub>
      )}
    </>
  );
}

function State({ row }: { row: Row }) {
  const { state = "active", expires } = row.subscription.spec;
  const since = row.subscription.status?.since;
  if (state === "active" && row.topics[0]) return <TopicState topic={row.topics[0]} />;
  return (
    <>
      <StateBadge state={state} />
      {state === "pending" && since && <Sub>{w.rich("asked", { ago: <Ago at={since} /> })}</Sub>}
      {expires && <Sub>{w.rich("until", { time: <Ago at={expires} /> })}</Sub>}
    </>
  );
}

const topicWords = (topics: readonly Topic[]) => {
  const first = topics[0]?.topic;
  if (!first) return w("noTopics");
  return topics.length > 1 ? w("topicsAndMore", { first, count: topics.length - 1 }) : first;
};

const columns: readonly Column<Row>[] = [
  {
    key: "product",
    head: w("product"),
    cell: (r) => (
      <>
        <Link to="/apis/$name" params={{ name: r.topics[0]?.version.replace(/\.v\d+$/, "") ?? r.subscription.spec.product }} className="font-semibold">{r.subscription.spec.product}</Link>
        <span className="text-ink-3"> {r.subscription.spec.plan}</span>
        <Sub mono>{r.subscription.meta.name}</Sub>
      </>
    ),
  },
  { key: "topics", head: w("topics"), label: w("topics"), cell: (r) => <span className={r.topics.length ? "font-mono text-xs" : "text-ink-3"}>{topicWords(r.topics)}</span> },
  { key: "state", head: w("topicsAre"), label: w("topicsAre"), cell: (r) => <State row={r} /> },
  { key: "since", head: w("since"), label: w("since"), cell: (r) => r.subscription.status?.since && <Ago at={r.subscription.status.since} /> },
];

export function Subscriptions({ name, environment }: { name: string; environment: string }) {
  const subscriptions = useQuery(subscriptionsQuery(name));
  const effective = useQuery(effectiveQuery(name, environment));
  return (
    <Section title={w("subscriptions")}>
      <Await query={subscriptions} what={w("subscriptions")} card>
        {(all) => {
          const rows = all.filter((s) => s.meta.environment === environment).map((subscription) => ({ subscription, topics: (effective.data?.topics ?? []).filter((t) => t.subscription === subscription.meta.name) }));
          return (
            <Card>
              {rows.length ? (
                <Table caption={w("subscriptions")} columns={columns} rows={rows} rowKey={(r) => r.subscription.meta.name} />
              ) : (
                <Empty icon="flow" title={w("noSubscriptions")} action={<ButtonLink size="sm" kind="primary" to="/catalog">{w("browse")}</ButtonLink>}>
                  <p>{w("noSubscriptionsBody", { name, environment })}</p>
                </Empty>
              )}
            </Card>
          );
        }}
      </Await>
    </Section>
  );
}
