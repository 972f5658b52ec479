/** 24 hours in 48 points: area from zero, no axis. `label` is the sentence that is read aloud; below stand the mean rate and the span. */
export function Sparkline({ points, label, left, right, className = "h-9" }: { points: readonly number[]; label: string; left?: string; right?: string; className?: string }) {
  const top = Math.max(...points, 0);
  const flat = top === 0;
  const step = 200 / Math.max(1, points.length - 1);
  const line = points.map((p, i) => `${i ? "L" : "M"}${(i * step).toFixed(1)} ${(flat ? 35 : 34.5 - (p / top) * 32).toFixed(1)}`).join(" ");
  return (
    <div>
      <svg viewBox="0 0 200 36" preserveAspectRatio="none" role="img" aria-label={label} className={`block w-full overflow-visible ${className} ${flat ? "text-line-control" : "text-chart-1"}`}>
        {!flat && <path d={`${line} L200 36 L0 36Z`} fill="currentColor" opacity="0.1" />}
        <path d={line} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" vectorEffect="non-scaling-stroke" />
      </svg>
      {(left || right) && (
        <div className="mt-1 flex justify-between text-xs text-ink-3">
          <span className="tabular-nums">{left}</span>
          <span>{right}</span>
        </div>
      )}
    </div>
  );
}
