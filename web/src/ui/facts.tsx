import type { ReactNode } from "react";

/** Label left, value right, hairlines between. */
export function Facts({ facts }: { facts: readonly (readonly [ReactNode, ReactNode])[] }) {
  return (
    <dl className="prose-links -my-[0.4375rem] grid">
      {facts.map(([label, value], i) => (
        <div key={i} className="grid grid-cols-[7rem_minmax(0,1fr)] gap-3 border-b border-line py-[0.4375rem] text-sm last:border-0">
          <dt className="text-ink-3">{label}</dt>
          <dd className="min-w-0 [overflow-wrap:anywhere]">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export interface Figure {
  label: ReactNode;
  value: ReactNode;
  unit?: ReactNode;
  /** Against what: "+6 % on the day before". */
  comparison?: ReactNode;
}

/** Key figures side by side; they keep their boxes while they load. */
export function Figures({ figures }: { figures: readonly Figure[] }) {
  return (
    <dl className="grid grid-cols-2 gap-px overflow-hidden rounded-lg border border-line bg-line wide:grid-cols-[repeat(auto-fit,minmax(11rem,1fr))]">
      {figures.map((f, i) => (
        <div key={i} className="min-w-0 bg-raised px-4 py-3 max-wide:odd:last:col-span-2 wide:p-4">
          <dt className="text-sm text-ink-2">{f.label}</dt>
          <dd>
            <span className="text-xl leading-[1.875rem] font-[650] tracking-[-0.02em] whitespace-nowrap tabular-nums wide:text-num">{f.value}</span>
            {f.unit && <span className="text-md text-ink-2"> {f.unit}</span>}
            <span className="mt-0.5 block min-h-4 text-xs text-ink-3">{f.comparison}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Used against a limit. Both numbers are in words beside it; amber from 90 %, red at 100 %. */
export function Meter({ used, of, words }: { used: number; of: number; words: string }) {
  const percent = of > 0 ? Math.min(100, Math.round((used / of) * 100)) : 0;
  const fill = percent >= 100 ? "fill-bad-mark" : percent >= 90 ? "fill-warn-mark" : "fill-accent";
  return (
    <div className="grid max-w-60 min-w-38 gap-[0.3125rem] max-wide:max-w-none">
      <div className="flex justify-between gap-4 text-xs tabular-nums">
        <span className="text-ink-2">{words}</span>
        <span className="font-semibold">{percent} %</span>
      </div>
      <div role="meter" aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent} aria-label={words} className="h-1.5 w-full overflow-hidden rounded-[3px] bg-mute-soft">
        <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" className="h-1.5 w-full">
          <rect width={percent} height="6" className={fill} />
        </svg>
      </div>
    </div>
  );
}
