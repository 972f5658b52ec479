import type { ReactNode } from "react";
import { w } from "../words/shell";
import { Button } from "./button";
import { Icon } from "./icon";

export interface Column<Row> {
  key: string;
  head: ReactNode;
  /** The label of its line when narrow; the first column has none. */
  label?: string;
  cell: (row: Row) => ReactNode;
  /** Right, with digits of one width. */
  number?: boolean;
  /** Its own line below the label when narrow, for what is wide. */
  block?: boolean;
  /** The menu of the row. */
  actions?: boolean;
  sortable?: boolean;
  className?: string;
}

export interface Sort {
  key: string;
  down: boolean;
}

/** Rows and columns. The first column names the row; up to six columns become labelled lines when narrow, wider ones scroll in a region of their own. */
export function Table<Row>({ caption, columns, rows, rowKey, sort, onSort, wide }: {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  sort?: Sort | undefined;
  onSort?: ((to: Sort) => void) | undefined;
  wide?: boolean;
}) {
  const side = (c: Column<Row>) => `${c.number ? "n" : ""} ${c.actions ? "acts text-right" : ""} ${c.block ? "block" : ""} ${c.className ?? ""}`;
  const table = (
    <table className={`lines ${wide ? "" : "stacks"}`}>
      <caption className="sr-only">{caption}</caption>
      <thead>
        <tr>
          {columns.map((c) => {
            const sorted = sort?.key === c.key;
            return (
              <th key={c.key} scope="col" className={c.number ? "n" : undefined} aria-sort={c.sortable ? (sorted ? (sort.down ? "descending" : "ascending") : "none") : undefined}>
                {c.actions ? (
                  <span className="sr-only">{c.head}</span>
                ) : c.sortable && onSort ? (
                  <button type="button" className="inline-flex items-center gap-1 py-0.5 hover:text-ink" onClick={() => onSort({ key: c.key, down: sorted ? !sort.down : false })}>
                    {c.head}
                    <Icon name={sorted ? (sort.down ? "sort-down" : "sort-up") : "sort-both"} className={`size-3 ${sorted ? "" : "opacity-60"}`} />
                  </button>
                ) : (
                  c.head
                )}
              </th>
            );
          })}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={rowKey(row)}>
            {columns.map((c) => (
              <td key={c.key} data-label={c.label} className={side(c)}>
                {c.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
  if (!wide) return table;
  return (
    <div role="region" aria-label={caption} tabIndex={0} className="overflow-x-auto">
      {table}
    </div>
  );
}

/** A second line of a cell. */
export function Sub({ children, mono }: { children: ReactNode; mono?: boolean }) {
  return <div className={`text-xs [overflow-wrap:anywhere] text-ink-3 ${mono ? "font-mono" : ""}`}>{children}</div>;
}

/** Where one is in a list, and how one goes on. */
export function Pager({ from, to, total, onPrevious, onNext, children }: { from: number; to: number; total?: number | undefined; onPrevious?: (() => void) | undefined; onNext?: (() => void) | undefined; children?: ReactNode }) {
  return (
    <div className="flex flex-wrap items-center justify-between gap-3 border-t border-line px-4 py-2 text-sm text-ink-3">
      <span className="tabular-nums">{total === undefined ? w("pageFrom", { from, to }) : w("pageOf", { from, to, total })}</span>
      <span className="flex items-center gap-2">
        {children}
        <Button size="sm" disabled={!onPrevious} onClick={onPrevious}>{w("previous")}</Button>
        <Button size="sm" disabled={!onNext} onClick={onNext}>{w("next")}</Button>
      </span>
    </div>
  );
}

/** Sorts rows that are all here, by what `by` says of each column. */
export function sorted<Row>(rows: readonly Row[], sort: Sort | undefined, by: Record<string, (row: Row) => string | number>): readonly Row[] {
  const of = sort && by[sort.key];
  if (!of) return rows;
  return rows.toSorted((a, b) => {
    const x = of(a);
    const y = of(b);
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
    return sort.down ? -order : order;
  });
}
