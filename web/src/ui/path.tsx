import type { ReactNode } from "react";
import { Icon } from "./icon";

export interface Step {
  is: "done" | "now" | "failed" | "next";
  title: ReactNode;
  children?: ReactNode;
}

const looks = {
  done: "border-good-mark bg-good-mark text-bg",
  failed: "border-bad-mark bg-bad-mark text-bg",
  now: "border-accent bg-raised text-accent-text",
  next: "border-line-control bg-raised text-ink-3",
};

/** Steps that follow each other: connecting, moving a version, paying. `words` says aloud how each stands. */
export function Path({ steps, words }: { steps: readonly Step[]; words: Record<Step["is"], string> }) {
  return (
    <ol className="grid">
      {steps.map((s, i) => (
        <li key={i} className="relative grid grid-cols-[1.25rem_minmax(0,1fr)] gap-3 pb-4 text-sm before:absolute before:top-[1.375rem] before:bottom-0.5 before:left-[0.5625rem] before:w-[1.5px] before:bg-line-strong last:pb-0 last:before:hidden" aria-current={s.is === "now" ? "step" : undefined}>
          <span className={`grid size-5 place-items-center rounded-full border-[1.5px] ${looks[s.is]}`}>
            {s.is === "done" && <Icon name="check" className="size-[11px]" />}
            {s.is === "failed" && <Icon name="x" className="size-[11px]" />}
            {s.is === "now" && <Icon name="spin" className="size-[11px] animate-spin" />}
          </span>
          <div className="min-w-0">
            <span className="sr-only">{words[s.is]}: </span>
            <span className={s.is === "next" ? "text-ink-3" : "font-semibold"}>{s.title}</span>
            {s.children && <div className="text-ink-2">{s.children}</div>}
          </div>
        </li>
      ))}
    </ol>
  );
}
