import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import type { Schemas } from "../api/client";
import { Badge, Tag } from "../ui/badge";
import { copy } from "../ui/copy";
import { Icon } from "../ui/icon";
import { say } from "../ui/said";
import { w } from "../words/api";

type Field = Schemas["ReferenceField"];

interface Row {
  field: Field;
  level: number;
  at: number;
  of: number;
  parent: Row | undefined;
  /** The letters of the name that were searched for. */
  match: readonly [number, number] | undefined;
}

const cuts = { recursion: "cutRecursion", depth: "cutDepth", count: "cutCount" } as const;

const has = (text: string | undefined, query: string) => Boolean(text?.toLowerCase().includes(query));

/** Which fields match, and those above them, which stay to be seen. */
function matching(fields: readonly Field[], query: string): { paths: Set<string>; count: number } {
  const paths = new Set<string>();
  let count = 0;
  const visit = (f: Field): boolean => {
    const own = has(f.name, query) || has(f.path, query) || has(f.description, query) || has(f.title, query) || Boolean(f.tags?.some((t) => has(t, query))) || (Boolean(f.personal) && has(w("personal"), query));
    if (own) count++;
    let below = false;
    for (const c of f.fields ?? []) below = visit(c) || below;
    if (own || below) paths.add(f.path);
    return own || below;
  };
  for (const f of fields) visit(f);
  return { paths, count };
}

/** Two levels are open at first. */
const opened = (fields: readonly Field[]) => new Set(fields.flatMap((f) => (f.fields?.length ? [f.path] : [])));

/** Everything above a path, in fields as they lie. */
function above(fields: readonly Field[], path: string): readonly string[] {
  for (const f of fields) {
    if (f.path === path) return [];
    if (f.fields) {
      const below = above(f.fields, path);
      if (below.length > 0 || f.fields.some((c) => c.path === path)) return [f.path, ...below];
    }
  }
  return [];
}

/** Constraints that are short stand with the type, as in "long, ≥ 0". */
const short = (about: string) => about.length <= 14;

function Name({ text, match }: { text: string; match: Row["match"] }) {
  if (!match) return text;
  return (
    <>
      {text.slice(0, match[0])}
      <mark>{text.slice(match[0], match[1])}</mark>
      {text.slice(match[1])}
    </>
  );
}

// Where a level begins, and the line down from the one above it.
const indents = ["", "pl-[1.125rem]", "pl-[2.25rem]", "pl-[3.375rem]", "pl-[4.5rem]", "pl-[5.625rem]"];
const lines = ["left-[1.1875rem] max-wide:left-[1.6875rem]", "left-[2.3125rem] max-wide:left-[2.8125rem]", "left-[3.4375rem] max-wide:left-[3.9375rem]", "left-[4.5625rem] max-wide:left-[5.0625rem]", "left-[5.6875rem] max-wide:left-[6.1875rem]"];

/** A cell; its label stands beside it when narrow, and nothing does where there is nothing to say. */
function Cell({ label, children }: { label?: string; children: ReactNode }) {
  return (
    <div role="gridcell" className={`min-w-0 text-sm [overflow-wrap:anywhere] max-wide:px-4 wide:py-[0.5625rem] wide:pr-3 wide:first:pl-2 wide:last:pr-4 ${label === undefined ? "" : label ? "max-wide:grid max-wide:grid-cols-[5.5rem_minmax(0,1fr)] max-wide:gap-2 max-wide:pl-9" : "max-wide:hidden"}`}>
      {label && <span className="text-xs leading-5 text-ink-3 wide:hidden">{label}</span>}
      {children}
    </div>
  );
}

const columns = "wide:grid wide:grid-cols-[minmax(0,3fr)_minmax(0,2fr)_minmax(0,3.5fr)_minmax(0,2fr)]";

function Cells({ row, open, onFold }: { row: Row; open: boolean; onFold: () => void }) {
  const f = row.field;
  const about = f.about ?? [];
  const long = about.filter((a) => !short(a));
  const folds = Boolean(f.fields?.length);
  const described = f.variant ? f.description : f.description || f.title;
  const tagged = f.personal || f.deprecated || f.since || f.tags?.length || f.cut;
  return (
    <>
      <Cell>
        {lines.slice(0, row.level - 1).map((left) => (
          <span key={left} aria-hidden="true" className={`absolute inset-y-0 w-px bg-line-strong ${left}`} />
        ))}
        <div className={`flex items-start gap-1 ${indents[Math.min(row.level - 1, indents.length - 1)]}`}>
          {folds ? (
            <button type="button" tabIndex={-1} aria-label={open ? w("shut", { name: f.name }) : w("open", { name: f.name })} onClick={onFold} className="-my-0.5 grid size-6 flex-none place-items-center rounded-sm text-ink-3 hover:bg-hover hover:text-ink">
              <Icon name={open ? "down" : "right"} className="size-3" />
            </button>
          ) : (
            <span className="size-5 flex-none wide:w-6" />
          )}
          <span className="min-w-0">
            {f.variant && <span className="mr-1.5 text-xs text-ink-3">{w("variant")}</span>}
            <span className={`font-mono text-[0.78125rem] [overflow-wrap:anywhere] ${f.deprecated ? "text-ink-3 line-through" : ""}`}>
              <Name text={f.name} match={row.match} />
            </span>
            {f.required && <span className="ml-1.5 text-xs text-bad">{w("required")}</span>}
          </span>
        </div>
      </Cell>
      <Cell label={w("type")}>
        <span className="font-mono text-xs leading-5">{[f.type, ...about.filter(short)].join(", ")}</span>
      </Cell>
      <Cell label={described || long.length > 0 || tagged ? w("about") : ""}>
        <div className="flex flex-wrap items-center gap-x-2 gap-y-1">
          {described && <span className="min-w-0">{described}</span>}
          {long.map((a) => (
            <span key={a} className="min-w-0 text-ink-2">
              {a}
            </span>
          ))}
          {f.personal && <Tag>{w("personal")}</Tag>}
          {f.deprecated && <Badge state="deprecated">{w("deprecatedField")}</Badge>}
          {f.since && <Tag>{w("since", { version: f.since })}</Tag>}
          {f.tags?.map((t) => <Tag key={t}>{t}</Tag>)}
          {f.cut && <span className="text-ink-3">{w(cuts[f.cut])}</span>}
        </div>
      </Cell>
      <Cell label={f.example || f.default ? w("example") : ""}>
        <span className="line-clamp-2 font-mono text-xs leading-5 text-ink-2">{f.example || (f.default ? w("default", { value: f.default }) : "")}</span>
      </Cell>
    </>
  );
}

/** Fields with those below them: arrows move and fold (WAI-ARIA's treegrid), c copies the path. `query` filters and keeps what is above; `chosen` is opened and marked. */
export function FieldTree({ label, fields, query, chosen }: { label: string; fields: readonly Field[]; query: string; chosen?: string | undefined }) {
  const [open, setOpen] = useState(() => new Set([...opened(fields), ...(chosen ? above(fields, chosen) : [])]));
  const [focused, setFocused] = useState<string | undefined>(chosen);
  const body = useRef<HTMLDivElement>(null);
  const id = useId();
  const words = query.trim().toLowerCase();
  const found = useMemo(() => (words ? matching(fields, words) : undefined), [fields, words]);
  const isOpen = (f: Field) => Boolean(f.fields?.length) && (found ? f.fields?.some((c) => found.paths.has(c.path)) || open.has(f.path) : open.has(f.path));

  const rows: Row[] = [];
  const visit = (of: readonly Field[], level: number, parent: Row | undefined) => {
    // What is below a field that matches stays, so that it can be opened.
    const shown = found && !(parent && !parent.field.fields?.some((c) => found.paths.has(c.path))) ? of.filter((f) => found.paths.has(f.path)) : of;
    shown.forEach((field, i) => {
      const start = words ? field.name.toLowerCase().indexOf(words) : -1;
      const row: Row = { field, level, at: i + 1, of: shown.length, parent, match: start < 0 ? undefined : [start, start + words.length] };
      rows.push(row);
      if (isOpen(field)) visit(field.fields ?? [], level + 1, row);
    });
  };
  visit(fields, 1, undefined);

  useEffect(() => {
    if (found) say(w("found", { count: found.count }));
  }, [found]);
  useEffect(() => {
    if (chosen) body.current?.querySelector('[data-chosen="true"]')?.scrollIntoView({ block: "center" });
  }, [chosen]);

  const current = rows.find((r) => r.field.path === focused) ?? rows[0];
  const focus = (to: Row | undefined) => {
    if (!to) return;
    setFocused(to.field.path);
    body.current?.querySelectorAll<HTMLElement>('[role="row"]')[rows.indexOf(to)]?.focus();
  };
  const fold = (f: Field) => {
    const next = new Set(open);
    if (!next.delete(f.path)) next.add(f.path);
    setOpen(next);
  };
  const onKeyDown = (e: KeyboardEvent, row: Row) => {
    if (e.target !== e.currentTarget || e.metaKey || e.ctrlKey || e.altKey) return;
    const at = rows.indexOf(row);
    const { field } = row;
    const done = (what: () => void) => {
      e.preventDefault();
      what();
    };
    switch (e.key) {
      case "ArrowDown":
        return done(() => focus(rows[at + 1]));
      case "ArrowUp":
        return done(() => focus(rows[at - 1]));
      case "Home":
        return done(() => focus(rows[0]));
      case "End":
        return done(() => focus(rows.at(-1)));
      case "ArrowRight":
        return done(() => (field.fields?.length && !isOpen(field) ? fold(field) : isOpen(field) && focus(rows[at + 1])));
      case "ArrowLeft":
        return done(() => (isOpen(field) && !found ? fold(field) : focus(row.parent)));
      case "Enter":
      case " ":
        return done(() => field.fields?.length && fold(field));
      case "*":
        return done(() => setOpen(new Set([...open, ...(row.parent?.field.fields ?? fields).flatMap((f) => (f.fields?.length ? [f.path] : []))])));
      case "c":
        return done(() => void copy(field.path).then(() => say(w("pathCopied", { path: field.path }))));
      default:
        return undefined;
    }
  };
  const head = (text: ReactNode) => (
    <div role="columnheader" className="py-2 pr-3 text-xs text-ink-3 first:pl-9">
      {text}
    </div>
  );
  if (found && rows.length === 0) return <p className="px-4 py-3 text-sm text-ink-2">{w("noMatchFields", { query: query.trim() })}</p>;
  return (
    <div role="treegrid" aria-label={label} aria-describedby={`${id}-keys`}>
      <div role="row" className={`border-b border-line max-wide:sr-only ${columns}`}>
        {head(w("field"))}
        {head(w("type"))}
        {head(w("about"))}
        {head(w("example"))}
      </div>
      <div role="rowgroup" ref={body}>
        {rows.map((row) => {
          const { field } = row;
          const folds = Boolean(field.fields?.length);
          return (
            <div
              key={field.path}
              role="row"
              aria-level={row.level}
              aria-posinset={row.at}
              aria-setsize={row.of}
              aria-expanded={folds ? Boolean(isOpen(field)) : undefined}
              tabIndex={row === current ? 0 : -1}
              data-chosen={field.path === chosen}
              onFocus={() => setFocused(field.path)}
              onKeyDown={(e) => onKeyDown(e, row)}
              className={`-outline-offset-2 relative border-b border-line last:border-0 hover:bg-hover data-[chosen=true]:bg-selected max-wide:grid max-wide:gap-0.5 max-wide:py-2.5 ${columns}`}
            >
              <Cells row={row} open={Boolean(isOpen(field))} onFold={() => fold(field)} />
            </div>
          );
        })}
      </div>
      <p id={`${id}-keys`} hidden>{w("treeKeys")}</p>
    </div>
  );
}
