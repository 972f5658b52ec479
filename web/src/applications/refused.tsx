import { useQuery } from "@tanstack/react-query";
import { Link, useRouter } from "@tanstack/react-router";
import { useState } from "react";
import { api, got, type Schemas } from "../api/client";
import { Button } from "../ui/button";
import { Card, Section } from "../ui/card";
import { SearchInput } from "../ui/field";
import { Await, Empty } from "../ui/states";
import { Pager, Sub, Table, type Column } from "../ui/table";
import { Ago } from "../ui/time";
import { w } from "../words/applications";

type Rejection = Schemas["Rejection"];

const columns: readonly Column<Rejection>[] = [
  { key: "when", head: w("when"), cell: (r) => <Ago at={r.time} both className="whitespace-nowrap" /> },
  {
    key: "asked",
    head: w("askedFor"),
    label: w("askedFor"),
    cell: (r) => (
      <>
        {r.operation} {r.what} <span className="font-mono text-xs [overflow-wrap:anywhere]">{r.name}</span>
        <Sub>{[r.credential, r.address].filter(Boolean).join(", ")}</Sub>
      </>
    ),
  },
  { key: "answer", head: w("answer"), label: w("answer"), cell: (r) => r.verdict },
  { key: "because", head: w("because"), label: w("because"), block: true, cell: (r) => r.rule },
  { key: "id", head: w("id"), label: w("id"), cell: (r) => <Link to="/rejections/$id" params={{ id: r.id }} className="font-mono text-xs [overflow-wrap:anywhere]">{r.id}</Link> },
];

/** Goes to a refused request by the id that a client's log has. */
export function FindRejection() {
  const router = useRouter();
  const [id, setId] = useState("");
  return (
    <form
      role="search"
      className="flex gap-2 max-wide:w-full"
      onSubmit={(e) => {
        e.preventDefault();
        if (id.trim()) void router.navigate({ to: "/rejections/$id", params: { id: id.trim() } });
      }}
    >
      <SearchInput look="sm" label={w("findId")} placeholder={w("idPlaceholder")} className="w-60 max-wide:flex-1" value={id} onChange={(e) => setId(e.target.value)} />
      <Button size="sm" type="submit">{w("go")}</Button>
    </form>
  );
}

/** What was refused lately, `limit` at a time. */
export function Refused({ name, environment, limit }: { name: string; environment: string; limit: number }) {
  const [before, setBefore] = useState<readonly number[]>([]);
  const at = before.at(-1);
  const query = useQuery({
    queryKey: ["applications", name, "rejections", environment, limit, at],
    queryFn: ({ signal }) => got(api.GET("/v1/applications/{name}/rejections", { params: { path: { name }, query: { environment, limit, ...(at && { before: at }) } }, signal })),
    placeholderData: (old) => old,
  });
  return (
    <Section title={w("refused")} actions={<FindRejection />}>
      <Await query={query} what={w("refused")} card>
        {(page) => {
          const rows = page.items ?? [];
          const from = before.length * limit;
          return (
            <Card>
              {rows.length ? (
                <>
                  <Table caption={w("refused")} columns={columns} rows={rows} rowKey={(r) => r.id} />
                  {(page.next !== undefined || before.length > 0) && (
                    <Pager from={from + 1} to={from + rows.length} onPrevious={before.length ? () => setBefore(before.slice(0, -1)) : undefined} onNext={page.next !== undefined ? () => setBefore([...before, page.next ?? 0]) : undefined} />
                  )}
                </>
              ) : (
                <Empty icon="shield" title={w("noRefused")}>
                  <p>{w("noRefusedBody")}</p>
                </Empty>
              )}
            </Card>
          );
        }}
      </Await>
    </Section>
  );
}
