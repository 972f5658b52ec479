import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, got, type Schemas } from "../api/client";
import { meQuery, queryClient } from "../api/queries";
import { Tag } from "../ui/badge";
import { Button } from "../ui/button";
import { Card, Section } from "../ui/card";
import { TakeAway } from "../ui/dialog";
import { MenuItem, RowMenu } from "../ui/menu";
import { Await, NotAllowed } from "../ui/states";
import { Sub, Table, type Column } from "../ui/table";
import { Ago } from "../ui/time";
import { toast } from "../ui/toast";
import { w } from "../words/account";
import { AccountFrame } from "./frame";
import { nameOf } from "./me";

type Login = Schemas["ActiveLogin"];

const again = () => queryClient.invalidateQueries({ queryKey: ["logins"] });

/** What a browser calls itself, shortly. */
export function agentOf(agent: string | undefined): string {
  if (!agent) return w("unknownAgent");
  const browser = /(Firefox|Edg|OPR|Chrome|Safari)\/(\d+)/.exec(agent);
  const system = /(Windows|Mac OS X|Android|iPhone|iPad|Linux)/.exec(agent);
  if (!browser) return agent;
  const names: Record<string, string> = { Edg: "Edge", OPR: "Opera", "Mac OS X": "macOS" };
  const name = /Edg\//.test(agent) ? "Edge" : (names[browser[1] ?? ""] ?? browser[1] ?? "");
  return system ? `${name} ${browser[2]}, ${names[system[1] ?? ""] ?? system[1]}` : `${name} ${browser[2]}`;
}

async function end(login: Login) {
  await got(api.DELETE("/v1/logins/{id}", { params: { path: { id: login.id } } }));
  await again();
  toast(w("loginEnded"));
}

const columns: readonly Column<Login>[] = [
  {
    key: "agent",
    head: w("browser"),
    cell: (l) => (
      <>
        <span className="font-semibold">{agentOf(l.agent)}</span> {l.current && <Tag>{w("thisOne")}</Tag>}
        <Sub>{[l.method, l.address].filter(Boolean).join(", ")}</Sub>
      </>
    ),
  },
  { key: "began", head: w("started"), label: w("started"), cell: (l) => <Ago at={l.created} /> },
  { key: "seen", head: w("lastUsed"), label: w("lastUsed"), cell: (l) => <Ago at={l.seen} /> },
  { key: "ends", head: w("expires"), label: w("expires"), cell: (l) => <Ago at={l.expires} /> },
  {
    key: "do",
    head: w("endLogin"),
    actions: true,
    cell: (l) =>
      !l.current && (
        <RowMenu name={agentOf(l.agent)}>
          <MenuItem icon="out" onSelect={() => void end(l)}>{w("endLogin")}</MenuItem>
        </RowMenu>
      ),
  },
];

export default function LoginsPage() {
  const me = useQuery(meQuery);
  const login = nameOf(me.data);
  const logins = useQuery({ queryKey: ["logins"], queryFn: ({ signal }) => got(api.GET("/v1/logins", { signal })), enabled: Boolean(login) });
  const [ending, setEnding] = useState(false);
  if (me.data && !login) return <NotAllowed login="" />;
  const others = (logins.data?.items ?? []).filter((l) => !l.current).length;
  return (
    <AccountFrame title={w("logins")}>
      <Section title={w("logins")} actions={others > 0 && <Button size="sm" onClick={() => setEnding(true)}>{w("endOthers")}</Button>}>
        <p className="text-ink-2">{w("loginsLead")}</p>
        <Await query={logins} what={w("logins")} card>
          {(data) => (
            <Card>
              <Table caption={w("logins")} columns={columns} rows={data.items ?? []} rowKey={(l) => l.id} />
            </Card>
          )}
        </Await>
      </Section>
      <TakeAway
        open={ending}
        onClose={() => setEnding(false)}
        title={w("endOthersTitle")}
        verb={w("endOthers")}
        doing={w("ending")}
        keep={w("keepIt")}
        act={async () => {
          const ended = await got(api.DELETE("/v1/logins", {}));
          await again();
          toast(w("othersEnded", { count: ended.logins }));
        }}
      >
        <p>{w("endOthersBody", { count: others })}</p>
      </TakeAway>
    </AccountFrame>
  );
}
