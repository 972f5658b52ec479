import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useRouter, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { api, got } from "../api/client";
import { meQuery, queryClient } from "../api/queries";
import { FormError, useForm } from "../account/form";
import { nameOf, teamsOf, type Me } from "../account/me";
import { Badge } from "../ui/badge";
import { Button } from "../ui/button";
import { Card } from "../ui/card";
import { Dialog } from "../ui/dialog";
import { Field, Input, SearchInput, Select, TextArea } from "../ui/field";
import { PageHead } from "../ui/page";
import { Await, Empty, NotAllowed } from "../ui/states";
import { Pager, Sub, Table, sorted, type Column, type Sort } from "../ui/table";
import { Ago } from "../ui/time";
import { w } from "../words/applications";
import { doc, type ApplicationSpec } from "./documents";

interface Row {
  name: string;
  team: string;
  description: string;
  suspended: boolean;
  changed: string;
}

function NewApplication({ me, onClose }: { me: Me; onClose: () => void }) {
  const router = useRouter();
  const teams = teamsOf(me, "app-developer");
  const [name, setName] = useState("");
  const [team, setTeam] = useState(teams[0] ?? "");
  const [description, setDescription] = useState("");
  const form = useForm(async () => {
    const body = { apiVersion: "sluice/v1", kind: "Application", metadata: { name: name.trim(), team }, spec: description.trim() ? { description: description.trim() } : {} };
    await got(api.PUT("/v1/applications/{name}", { params: { path: { name: name.trim() }, header: { "If-None-Match": "*" } }, body: body as never }));
    await queryClient.invalidateQueries({ queryKey: ["applications"] });
    await router.navigate({ to: "/apps/$name", params: { name: name.trim() } });
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={w("newApplication")}
      onSubmit={form.submit}
      actions={
        <>
          <Button onClick={onClose}>{w("cancel")}</Button>
          <Button kind="primary" type="submit" disabled={!team} busy={form.busy && w("creating")}>{w("create")}</Button>
        </>
      }
    >
      <p className="text-ink-2">{teams.length ? w("newLead") : w("noTeam")}</p>
      <FormError error={form.error} />
      <Field label={w("name")} hint={w("nameHint")}>
        <Input mono required maxLength={128} autoCapitalize="none" spellCheck={false} value={name} onChange={(e) => setName(e.target.value)} />
      </Field>
      {teams.length > 1 && (
        <Field label={w("team")}>
          <Select value={team} onChange={(e) => setTeam(e.target.value)}>
            {teams.map((t) => <option key={t}>{t}</option>)}
          </Select>
        </Field>
      )}
      <Field label={w("description")}>
        <TextArea value={description} onChange={(e) => setDescription(e.target.value)} />
      </Field>
    </Dialog>
  );
}

const columns: readonly Column<Row>[] = [
  {
    key: "name",
    head: w("application"),
    sortable: true,
    cell: (a) => (
      <>
        <Link to="/apps/$name" params={{ name: a.name }} className="font-semibold">{a.name}</Link>
        {a.description && <Sub>{a.description}</Sub>}
      </>
    ),
  },
  { key: "team", head: w("team"), label: w("team"), sortable: true, cell: (a) => a.team },
  { key: "state", head: w("state"), label: w("state"), cell: (a) => <Badge state={a.suspended ? "suspended" : "active"} /> },
  { key: "changed", head: w("changed"), label: w("changed"), sortable: true, cell: (a) => <Ago at={a.changed} /> },
];
const by = { name: (a: Row) => a.name, team: (a: Row) => a.team, changed: (a: Row) => Date.parse(a.changed) };
const perPage = 25;

export default function Applications() {
  const me = useQuery(meQuery);
  const login = nameOf(me.data);
  const router = useRouter();
  const search = useSearch({ strict: false });
  const [making, setMaking] = useState(false);
  const all = useInfiniteQuery({
    queryKey: ["applications"],
    queryFn: ({ signal, pageParam }) => got(api.GET("/v1/applications", { params: { query: { limit: 1000, ...(pageParam && { after: pageParam }) } }, signal })),
    initialPageParam: "",
    getNextPageParam: (last) => last.next || undefined,
    enabled: Boolean(login),
    select: (data): readonly Row[] =>
      data.pages
        .flatMap((p) => p.items ?? [])
        .map((d) => doc<ApplicationSpec>(d))
        .map(({ meta, spec, status }) => ({ name: meta.name, team: meta.team ?? "", description: spec.description ?? "", suspended: Boolean(spec.suspended), changed: status?.changed ?? "" })),
  });
  if (me.data && !login) return <NotAllowed login="" />;
  const query = search["q"] ?? "";
  const sort: Sort = { key: search["sort"]?.replace(/^-/, "") ?? "name", down: search["sort"]?.startsWith("-") ?? false };
  const page = Number(search["page"] ?? 1);
  const show = (to: Record<string, string | undefined>) => void router.navigate({ to: "/apps", search: { ...search, page: undefined, ...to }, replace: true });
  const button = me.data && <Button kind="primary" icon="plus" onClick={() => setMaking(true)}>{w("newApplication")}</Button>;
  return (
    <>
      <PageHead title={w("title")} beside={all.data && <span className="text-sm text-ink-3">{w("count", { count: all.data.length })}</span>} actions={button} />
      <div className="mt-6">
        <Await query={all} what={w("title")} card>
          {(rows) => {
            if (rows.length === 0) {
              return (
                <Card>
                  <Empty icon="box" title={w("none")} action={button}>
                    <p>{w("noneBody")}</p>
                  </Empty>
                </Card>
              );
            }
            const found = sorted(rows.filter((r) => `${r.name} ${r.team} ${r.description}`.toLowerCase().includes(query.toLowerCase())), sort, by);
            const from = (page - 1) * perPage;
            return (
              <div className="grid gap-3">
                <SearchInput look="sm" label={w("find")} placeholder={w("find")} className="wide:w-80" value={query} onChange={(e) => show({ q: e.target.value || undefined })} />
                <Card>
                  {found.length === 0 ? (
                    <Empty icon="search" title={w("noMatch", { query })} action={<Button size="sm" onClick={() => show({ q: undefined })}>{w("clear")}</Button>} />
                  ) : (
                    <>
                      <Table caption={w("title")} columns={columns} rows={found.slice(from, from + perPage)} rowKey={(a) => a.name} sort={sort} onSort={(s) => show({ sort: (s.down ? "-" : "") + s.key })} />
                      {found.length > perPage && (
                        <Pager
                          from={from + 1}
                          to={Math.min(found.length, from + perPage)}
                          total={found.length}
                          onPrevious={page > 1 ? () => show({ page: String(page - 1) }) : undefined}
                          onNext={from + perPage < found.length ? () => show({ page: String(page + 1) }) : undefined}
                        />
                      )}
                    </>
                  )}
                </Card>
              </div>
            );
          }}
        </Await>
      </div>
      {making && me.data && <NewApplication me={me.data} onClose={() => setMaking(false)} />}
    </>
  );
}
