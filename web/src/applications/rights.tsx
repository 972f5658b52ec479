import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client";
import { ButtonLink } from "../ui/button";
import { Card } from "../ui/card";
import { Icon } from "../ui/icon";
import { Await, Empty } from "../ui/states";
import { Sub, Table, type Column } from "../ui/table";
import { w } from "../words/applications";
import { effectiveQuery } from "./documents";
import { ApplicationFrame, useApplication } from "./frame";
import { TopicState } from "./subscriptions";

type Topic = Schemas["EffectiveTopic"];

function Right({ of: r }: { of: Schemas["EffectiveRight"] }) {
  return (
    <>
      <span className={`inline-flex items-center gap-1.5 ${r.granted ? "font-semibold" : "text-ink-3"}`}>
        <Icon name={r.granted ? "check" : "refused"} className="size-3.5" />
        {r.granted ? w("yes") : w("no")}
      </span>
      <Sub>{r.because}</Sub>
    </>
  );
}

const columns: readonly Column<Topic>[] = [
  {
    key: "topic",
    head: w("topic"),
    cell: (t) => (
      <>
        <span className="font-mono font-semibold [overflow-wrap:anywhere]">{t.topic}</span>
        <Sub>{t.product}, {t.plan}</Sub>
      </>
    ),
  },
  { key: "state", head: w("state"), label: w("state"), cell: (t) => <TopicState topic={t} /> },
  { key: "read", head: w("youCanRead"), label: w("youCanRead"), cell: (t) => <Right of={t.read} /> },
  { key: "write", head: w("youCanWrite"), label: w("youCanWrite"), cell: (t) => <Right of={t.write} /> },
];

export default function Rights() {
  const { name, environment } = useApplication();
  const effective = useQuery(effectiveQuery(name, environment));
  return (
    <ApplicationFrame part="rights">
      <div className="grid gap-3">
        <h2 className="sr-only">{w("rights")}</h2>
        <p className="text-ink-2">{w("rightsLead", { name, environment })}</p>
        <Await query={effective} what={w("rights")} card>
          {(e) => (
            <Card>
              {e.topics?.length ? (
                <Table caption={w("rights")} columns={columns} rows={e.topics} rowKey={(t) => t.subscription + t.topic} />
              ) : (
                <Empty icon="flow" title={w("noRights", { name, environment })} action={<ButtonLink size="sm" kind="primary" to="/catalog">{w("browse")}</ButtonLink>} />
              )}
            </Card>
          )}
        </Await>
      </div>
    </ApplicationFrame>
  );
}
