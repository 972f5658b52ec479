const width = 200;
const height = 36;

/** Runs of points that are known, each with its place. */
function runs(points: readonly (number | null)[]): readonly (readonly [number, number])[][] {
  const out: [number, number][][] = [];
  points.forEach((p, i) => {
    if (p === null) return;
    if (i === 0 || points[i - 1] === null) out.push([]);
    out.at(-1)?.push([i, p]);
  });
  return out;
}

/** 24 hours in 48 points: area from zero, no axis; what is not known is a gap. `label` is the sentence that is read aloud; below stand the mean rate and the span. */
export function Sparkline({ points, label, left, right, className = "h-9" }: { points: readonly (number | null)[]; label: string; left?: string; right?: string; className?: string }) {
  const top = Math.max(...points.map((p) => p ?? 0), 0);
  const flat = top === 0;
  const step = width / Math.max(1, points.length - 1);
  const x = (i: number) => (i * step).toFixed(1);
  const y = (p: number) => (flat ? height - 1 : height - 1.5 - (p / top) * 32).toFixed(1);
  // A point alone is a short dash, as a line through one place is not seen.
  const lines = runs(points).map((run) => run.map(([i, p], at) => `${at ? "L" : "M"}${x(i)} ${y(p)}`).join(" ") + (run.length === 1 ? " h1" : ""));
  return (
    <div>
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label} className={`block w-full overflow-visible ${className} ${flat ? "text-line-control" : "text-chart-1"}`}>
        {!flat && runs(points).map((run, i) => <path key={i} d={`${lines[i]} L${x(run.at(-1)?.[0] ?? 0)} ${height} L${x(run[0]?.[0] ?? 0)} ${height}Z`} fill="currentColor" opacity="0.1" />)}
        <path d={lines.join(" ")} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" strokeLinecap="round" vectorEffect="non-scaling-stroke" />
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
