import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { api, got, type Schemas } from "../api/client";
import { ApiCard, Fresh, rateNow, rights, toVersion } from "../ui/api-card";
import { Chip, StateBadge } from "../ui/badge";
import { Button } from "../ui/button";
import { Card } from "../ui/card";
import { Drawer } from "../ui/dialog";
import { Choice, SearchInput, Select } from "../ui/field";
import { PageHead } from "../ui/page";
import { Await, Empty, Loading } from "../ui/states";
import { Pager, Sub, Table, type Column } from "../ui/table";
import { w } from "../words/browse";
import { chosenOf, cleared, facets, facetTitle, queryOf, toggled, valueTitle, viewOf, type Facet, type View } from "./filters";
import { Facets } from "./facets";

type Catalog = Schemas["Catalog"];
type Search = Record<string, string | undefined>;

const pause = 200; // ms without a key before the words are searched for

/** The words of the search, which reach the address when one stops typing. */
function Words({ value, onChange }: { value: string; onChange: (words: string) => void }) {
  const [typed, setTyped] = useState(value);
  const [was, setWas] = useState(value);
  if (was !== value) {
    setWas(value);
    setTyped(value);
  }
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <SearchInput
      label={w("search")}
      placeholder={w("searchHint")}
      className="min-w-0 flex-1"
      value={typed}
      onChange={(e) => {
        const words = e.target.value;
        setTyped(words);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => {
          setWas(words.trim()); // ours: it does not overwrite what is being typed
          onChange(words.trim());
        }, pause);
      }}
    />
  );
}

/** What narrows the list, each to be taken away. */
function Chips({ search, catalog, onToggle, onWords, onClear }: { search: Search; catalog: Catalog | undefined; onToggle: (facet: Facet, value: string) => void; onWords: (words: string) => void; onClear: () => void }) {
  const set = facets.filter((f) => chosenOf(search, f).length > 0);
  const words = search["q"];
  if (set.length === 0 && !words) return null;
  const titleOf = (facet: Facet, value: string) => valueTitle(facet, value, catalog?.facets.find((f) => f.name === facet)?.values.find((v) => v.value === value)?.title);
  return (
    <div className="flex flex-wrap items-center gap-2">
      {words && (
        <>
          <span className="text-sm text-ink-3">{w("facetWords")}</span>
          <Chip label={w("removeFilter", { facet: w("facetWords"), value: words })} onRemove={() => onWords("")}>
            {words}
          </Chip>
        </>
      )}
      {set.map((facet) => (
        <span key={facet} className="contents">
          <span className="text-sm text-ink-3">{facetTitle(facet)}</span>
          {chosenOf(search, facet).map((value) => (
            <Chip key={value} label={w("removeFilter", { facet: facetTitle(facet), value: titleOf(facet, value) })} onRemove={() => onToggle(facet, value)}>
              {titleOf(facet, value)}
            </Chip>
          ))}
        </span>
      ))}
      <Button kind="quiet" size="sm" onClick={onClear}>{w("clear")}</Button>
    </div>
  );
}

const columns: readonly Column<Schemas["CatalogCard"]>[] = [
  {
    key: "api",
    head: w("api"),
    cell: (c) => (
      <>
        <Link {...toVersion(c)} className="font-semibold">{c.title}</Link>
        <Sub mono>{c.version}</Sub>
      </>
    ),
  },
  { key: "state", head: w("state"), label: w("state"), cell: (c) => <StateBadge state={c.state} /> },
  { key: "can", head: w("can"), label: w("can"), cell: rights },
  { key: "format", head: w("format"), label: w("format"), cell: (c) => c.formats.join(", ") },
  { key: "owner", head: w("owner"), label: w("owner"), cell: (c) => c.team },
  {
    key: "rate",
    head: w("rate"),
    label: w("rate"),
    number: true,
    cell: (c) => (
      <span className="whitespace-nowrap">
        {rateNow(c.activity)}
        {c.activity && (
          <Sub>
            <Fresh activity={c.activity} />
          </Sub>
        )}
      </span>
    ),
  },
];

/** Bones in the final layout. */
function Bones({ view }: { view: View }) {
  if (view === "table") return <Card><Loading what={w("list")} rows={8} className="p-5" /></Card>;
  return (
    <div className="grid gap-4 full:grid-cols-2">
      {Array.from({ length: 6 }, (_, i) => (
        <Card key={i} className="h-55 p-5">
          <Loading what={i === 0 ? w("list") : ""} rows={4} />
        </Card>
      ))}
    </div>
  );
}

/** Every API that one may see: narrowed by words and facets, as cards or as a table. */
export default function CatalogPage() {
  const search: Search = useSearch({ strict: false });
  const navigate = useNavigate();
  const [sheet, setSheet] = useState(false);
  const query = queryOf(search);
  const list = useQuery({ queryKey: ["catalog", query], queryFn: ({ signal }) => got(api.GET("/v1/catalog", { params: { query }, signal })), placeholderData: keepPreviousData, refetchInterval: 15_000 });
  const view = viewOf(search);
  const narrowed = Boolean(search["q"]) || facets.some((f) => chosenOf(search, f).length > 0);
  const set = facets.reduce((n, f) => n + chosenOf(search, f).length, 0);

  const go = (to: Search, replace = false) => void navigate({ to: "/catalog", search: to, replace, resetScroll: false });
  const onToggle = (facet: Facet, value: string) => go(toggled(search, facet, value));
  const onWords = (q: string) => go({ ...search, q: q || undefined, after: undefined }, true);
  const onClear = () => go(cleared(search));
  const turn = (after: string | undefined) => void navigate({ to: "/catalog", search: { ...search, after } });

  const lead = (of: Catalog): ReactNode =>
    narrowed ? w("leadFiltered", { versions: w("versions", { count: of.versions }), apis: w("apis", { count: of.apis }) }) : w("lead", { apis: w("apis", { count: of.apis }), topics: w("topics", { count: of.topics }) });

  return (
    <>
      <PageHead
        title={w("title")}
        actions={<Choice label={w("view")} value={view} onChange={(to) => go({ ...search, view: to === "table" ? to : undefined, after: undefined })} options={[{ value: "cards", label: w("cards") }, { value: "table", label: w("table") }]} />}
      />
      <p role="status" className="mt-1 min-h-[1.375rem] text-ink-2">{list.data && lead(list.data)}</p>
      <div className="mt-5 grid items-start gap-10 wide:mt-6 wide:grid-cols-[12.5rem_minmax(0,1fr)]">
        <section aria-label={w("filters")} className="hidden wide:block">
          {list.data ? <Facets facets={list.data.facets} onToggle={onToggle} /> : <Loading what={w("filters")} rows={6} />}
        </section>
        <div className="grid min-w-0 gap-4">
          <div className="flex flex-wrap items-center gap-2">
            <Words value={search["q"] ?? ""} onChange={onWords} />
            <Select aria-label={w("sort")} className="!w-44 max-wide:flex-1" value={query.sort ?? (search["q"] ? "best" : "name")} onChange={(e) => go({ ...search, sort: e.target.value, after: undefined })}>
              {search["q"] && <option value="best">{w("sortBest")}</option>}
              <option value="name">{w("sortName")}</option>
              <option value="newest">{w("sortNewest")}</option>
              <option value="subscribed">{w("sortSubscribed")}</option>
            </Select>
            <Button icon="filter" className="wide:hidden" onClick={() => setSheet(true)}>
              {set > 0 ? w("filtersCount", { count: set }) : w("filters")}
            </Button>
          </div>
          <Chips search={search} catalog={list.data} onToggle={onToggle} onWords={onWords} onClear={onClear} />
          {list.data === undefined && !list.isError ? (
            <Bones view={view} />
          ) : (
            <Await query={list} what={w("list")} card>
              {(found) =>
                found.items.length === 0 ? (
                  <Card>
                    {narrowed ? (
                      <Empty icon="search" level={2} title={w("noMatchTitle")} action={<Button size="sm" onClick={onClear}>{w("clearFilters")}</Button>}>
                        <p>{w("noMatch", { filters: [search["q"] && `“${search["q"]}”`, ...facets.flatMap((f) => (chosenOf(search, f).length ? [`${facetTitle(f)}: ${chosenOf(search, f).map((v) => valueTitle(f, v)).join(", ")}`] : []))].filter(Boolean).join("; ") })}</p>
                      </Empty>
                    ) : (
                      <Empty icon="flow" level={2} title={w("emptyTitle")}>
                        <p>{w("empty")}</p>
                      </Empty>
                    )}
                  </Card>
                ) : (
                  <div className={`grid gap-4 transition-opacity ${list.isPlaceholderData ? "opacity-60" : ""}`} aria-busy={list.isPlaceholderData}>
                    {view === "table" ? (
                      <Card>
                        <Table caption={w("list")} columns={columns} rows={found.items} rowKey={(c) => c.version} />
                      </Card>
                    ) : (
                      <ul aria-label={w("list")} className="grid gap-4 full:grid-cols-2">
                        {found.items.map((c) => (
                          <li key={c.version} className="grid min-w-0">
                            <ApiCard card={c} />
                          </li>
                        ))}
                      </ul>
                    )}
                    {(found.next || found.first > 1) && (
                      <Card className="*:border-0">
                        <nav aria-label={w("pages")}>
                          <Pager from={found.first} to={found.first + found.items.length - 1} total={found.versions} onPrevious={found.first > 1 ? () => turn(found.previous) : undefined} onNext={found.next ? () => turn(found.next) : undefined} />
                        </nav>
                      </Card>
                    )}
                  </div>
                )
              }
            </Await>
          )}
        </div>
      </div>
      <Drawer open={sheet} onClose={() => setSheet(false)} title={w("filters")} foot={<Button kind="primary" className="w-full" onClick={() => setSheet(false)}>{w("showApis", { count: list.data?.apis ?? 0 })}</Button>}>
        {list.data && <Facets facets={list.data.facets} onToggle={onToggle} />}
      </Drawer>
    </>
  );
}
