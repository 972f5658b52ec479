/**
 * 24 hours in 48 points: area from zero, no axis. Where a point is null, nothing is known and nothing is drawn. `label` is the sentence that is
 * read aloud; below stand the mean rate and the span.
 */
export function Sparkline({ points, label, left, right, className = "h-9" }: { points: readonly (number | null)[]; label: string; left?: string; right?: string; className?: string }) {
  const top = Math.max(...points.map((p) => p ?? 0), 0);
  const flat = top === 0;
  const step = 200 / Math.max(1, points.length - 1);
  const x = (i: number) => (i * step).toFixed(1);
  const y = (p: number) => (flat ? 35 : 34.5 - (p / top) * 32).toFixed(1);
  let line = "";
  let area = "";
  for (let i = 0; i < points.length; i++) {
    const p = points[i];
    if (typeof p !== "number") continue;
    const begins = typeof points[i - 1] !== "number";
    const ends = typeof points[i + 1] !== "number";
    line += `${begins ? "M" : "L"}${x(i)} ${y(p)}${begins && ends ? "h0.1" : ""}`;
    area += `${begins ? `M${x(i)} 36` : ""}L${x(i)} ${y(p)}${ends ? `L${x(i)} 36Z` : ""}`;
  }
  return (
    <div>
      <svg viewBox="0 0 200 36" preserveAspectRatio="none" role="img" aria-label={label} className={`block w-full overflow-visible ${className} ${flat ? "text-line-control" : "text-chart-1"}`}>
        {!flat && <path d={area} fill="currentColor" opacity="0.1" />}
        <path d={line} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" strokeLinecap="round" vectorEffect="non-scaling-stroke" />
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
