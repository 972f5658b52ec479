import type { ReactNode } from "react";
import { w } from "../words/states";
import { w as shell } from "../words/shell";
import { Icon, type IconName } from "./icon";

type Tint = "good" | "warn" | "bad" | "note" | "mute";
const tints: Record<Tint, string> = {
  good: "bg-good-soft text-good",
  warn: "bg-warn-soft text-warn",
  bad: "bg-bad-soft text-bad",
  note: "bg-note-soft text-note",
  mute: "bg-mute-soft text-ink-2",
};

/** The whole vocabulary of states: a shape, a word, then a colour. */
const looks = {
  draft: ["draft", "mute"],
  preview: ["preview", "note"],
  published: ["published", "good"],
  deprecated: ["deprecated", "warn"],
  retired: ["retired", "mute"],
  blocked: ["blocked", "bad"],
  open: ["open", "good"],
  withheld: ["withheld", "warn"],
  ended: ["withheld", "mute"],
  refused: ["refused", "bad"],
  pending: ["pending", "note"],
  active: ["published", "good"],
  suspended: ["pause", "warn"],
  rejected: ["x", "bad"],
  closed: ["retired", "mute"],
  expired: ["deprecated", "mute"],
  retiring: ["deprecated", "warn"],
  revoked: ["x", "mute"],
  issued: ["published", "note"],
  due: ["deprecated", "note"],
  overdue: ["deprecated", "bad"],
  paid: ["published", "good"],
  void: ["retired", "mute"],
} as const satisfies Record<string, readonly [IconName, Tint]>;

export type State = keyof typeof looks;
export const isState = (s: string): s is State => Object.hasOwn(looks, s);

/** A state; `children` is said instead of its word where a number belongs to it, as "due in 4 d". */
export function Badge({ state, children }: { state: State; children?: ReactNode }) {
  const [icon, tint] = looks[state];
  return (
    <span className={`badge inline-flex h-[1.375rem] items-center gap-[0.3125rem] rounded-sm pr-2 pl-1.5 text-xs font-semibold whitespace-nowrap ${tints[tint]}`}>
      <Icon name={icon} className="size-3.5" />
      {children ?? w(state)}
    </span>
  );
}

/** A state of which the server said the word; what we do not know is said as it is. */
export function StateBadge({ state }: { state: string }) {
  return isState(state) ? <Badge state={state} /> : <Tag>{state}</Tag>;
}

/** A neutral fact. */
export function Tag({ children, mono }: { children: ReactNode; mono?: boolean }) {
  return <span className={`inline-flex h-5 items-center rounded-sm bg-mute-soft px-1.5 whitespace-nowrap text-ink-2 ${mono ? "font-mono text-2xs" : "text-xs"}`}>{children}</span>;
}

/** A filter that can be removed. */
export function Chip({ children, onRemove, label }: { children: ReactNode; onRemove: () => void; label: string }) {
  return (
    <button type="button" onClick={onRemove} aria-label={label} className="chip inline-flex h-[1.625rem] items-center gap-[0.3125rem] rounded-full border border-accent bg-accent-soft px-[0.5625rem] text-xs font-semibold whitespace-nowrap text-accent-text">
      {children}
      <Icon name="x" className="size-3" />
    </button>
  );
}

/** Something to choose that fills in a search, as "customerId". */
export function Suggestion({ children, onClick, mono }: { children: ReactNode; onClick: () => void; mono?: boolean }) {
  return (
    <button type="button" onClick={onClick} className={`chip inline-flex h-[1.625rem] items-center rounded-full border border-line-strong bg-bg px-[0.5625rem] text-xs whitespace-nowrap text-ink-2 hover:bg-hover hover:text-ink ${mono ? "font-mono" : ""}`}>
      {children}
    </button>
  );
}

/** A small round light: `live` pulses, since something really runs. */
export function Dot({ live, off, tone = "good" }: { live?: boolean; off?: boolean; tone?: "good" | "warn" | "bad" }) {
  if (off) return <span className="size-2 flex-none rounded-full border-[1.5px] border-line-control" aria-hidden="true" />;
  if (live) return <span className="relative size-2 flex-none rounded-full bg-accent after:absolute after:inset-0 after:animate-ping after:rounded-full after:border-2 after:border-accent" aria-hidden="true" />;
  const colour = { good: "bg-good-mark", warn: "bg-warn-mark", bad: "bg-bad-mark" }[tone];
  return <span className={`size-2 flex-none rounded-full ${colour}`} aria-hidden="true" />;
}

/** Which environment, by glyph and word: production is a solid square, others are dashed. */
export function EnvironmentName({ name }: { name: string }) {
  return (
    <span className="inline-flex items-center gap-1.5 font-semibold">
      <Icon name={isProduction(name) ? "production" : "sandbox"} className="size-3.5" />
      <span className="sr-only">{shell("environment")}: </span>
      {name}
    </span>
  );
}

export const isProduction = (name: string) => /^prod/.test(name);
