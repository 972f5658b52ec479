import { Tabs as Radix } from "radix-ui";
import { useState, type ReactNode } from "react";
import { w } from "../words/shell";
import { IconButton } from "./button";
import { CopyButton } from "./copy";

/** A piece of a sample: plain text, one of five roles of syntax, a value that was filled in for this person, or a secret, shown as dots and copied in full. */
export interface Piece {
  text: string;
  role?: "key" | "string" | "number" | "keyword" | "comment" | "value" | "secret";
}

const roles: Record<Exclude<NonNullable<Piece["role"]>, "value" | "secret">, string> = {
  key: "text-code-key",
  string: "text-code-string",
  number: "text-code-number",
  keyword: "text-code-keyword",
  comment: "text-code-comment",
};
const filled = "rounded-[3px] bg-accent-soft px-0.5 text-accent-text";

/** The text with its roles; filled values are reachable by Tab. */
export function Pieces({ pieces }: { pieces: readonly Piece[] }) {
  return pieces.map((p, i) => {
    if (p.role === undefined) return <span key={i}>{p.text}</span>;
    if (p.role === "value") return <span key={i} tabIndex={0} className={filled}>{p.text}</span>;
    if (p.role === "secret") return <span key={i} className={filled}>{"•".repeat(12)}</span>;
    return <span key={i} className={roles[p.role]}>{p.text}</span>;
  });
}

export interface Sample {
  name: string;
  /** The file it goes into. */
  file?: string;
  pieces: readonly Piece[];
}

const whole = (s: Sample) => s.pieces.map((p) => p.text).join("");

function save(name: string, text: string) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  URL.revokeObjectURL(url);
}

function Body({ sample }: { sample: Sample }) {
  return (
    <pre tabIndex={0} aria-label={sample.file ?? sample.name} className="overflow-x-auto px-4 py-3.5 text-[0.78125rem] leading-[1.3125rem] [tab-size:4]">
      <code className="text-[1em]">
        <Pieces pieces={sample.pieces} />
      </code>
    </pre>
  );
}

/** Samples, a tab each; the chosen one is remembered under `remember`. */
export function Samples({ label, samples, remember, children }: { label: string; samples: readonly Sample[]; remember?: string; children?: ReactNode }) {
  const key = remember && `sluice.samples.${remember}`;
  const [chosen, setChosen] = useState(() => (key && localStorage.getItem(key)) || "");
  const current = samples.find((s) => s.name === chosen) ?? samples[0];
  if (!current) return null;
  const choose = (to: string) => {
    setChosen(to);
    if (key) localStorage.setItem(key, to);
  };
  const id = (s: Sample) => String(samples.indexOf(s)); // Radix makes ids of it, in which a name's spaces would not do
  const head = "flex min-h-[2.625rem] items-center gap-3 border-b border-line py-1.5 pr-2 pl-4 text-sm text-ink-2";
  const buttons = (
    <>
      {current.file && <IconButton icon="download" label={`${w("download")} ${current.file}`} small onClick={() => save(current.file ?? "", whole(current))} />}
      <CopyButton text={whole(current)} what={current.file ?? current.name} />
    </>
  );
  return (
    <div className="min-w-0 overflow-hidden rounded-lg border border-line bg-bg-code">
      {samples.length === 1 ? (
        <>
          <div className={head}>
            <span className="min-w-0 flex-1 truncate">{current.file ?? current.name}</span>
            {buttons}
          </div>
          <Body sample={current} />
        </>
      ) : (
        <Radix.Root value={id(current)} onValueChange={(to) => choose(samples[Number(to)]?.name ?? "")}>
          <div className={head}>
            <Radix.List aria-label={label} className="flex min-w-0 flex-1 gap-4 overflow-x-auto [scrollbar-width:none]">
              {samples.map((s) => (
                <Radix.Trigger key={s.name} value={id(s)} className="flex-none border-b-2 border-transparent px-px py-[0.3125rem] whitespace-nowrap data-[state=active]:border-accent data-[state=active]:font-semibold data-[state=active]:text-ink">
                  {s.name}
                </Radix.Trigger>
              ))}
            </Radix.List>
            {buttons}
          </div>
          {samples.map((s) => (
            <Radix.Content key={s.name} value={id(s)}>
              <Body sample={s} />
            </Radix.Content>
          ))}
        </Radix.Root>
      )}
      {children}
    </div>
  );
}
