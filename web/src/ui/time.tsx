import { useSyncExternalStore } from "react";
import { languageNow } from "../words/catalog";
import { w } from "../words/units";

// One clock for all relative times of a page.
let now = Date.now();
const listeners = new Set<() => void>();
let ticking: ReturnType<typeof setInterval> | undefined;
function subscribe(l: () => void) {
  if (listeners.size === 0) {
    now = Date.now();
    ticking = setInterval(() => {
      now = Date.now();
      for (const each of listeners) each();
    }, 1000);
  }
  listeners.add(l);
  return () => {
    listeners.delete(l);
    if (listeners.size === 0) clearInterval(ticking);
  };
}

/** Now, in milliseconds, as it ticks. */
export const useNow = () => useSyncExternalStore(subscribe, () => now);

const DAY = 86_400;

/** "3 min ago", "in 2 d". */
export function relative(at: number, from: number): string {
  const s = Math.round((from - at) / 1000);
  const n = Math.abs(s);
  if (n < 2) return w("now");
  const past = s > 0;
  if (n < 60) return w(past ? "secondsAgo" : "inSeconds", { n });
  if (n < 3600) return w(past ? "minutesAgo" : "inMinutes", { n: Math.round(n / 60) });
  if (n < DAY * 2) return w(past ? "hoursAgo" : "inHours", { n: Math.round(n / 3600) });
  if (n < DAY * 365) return w(past ? "daysAgo" : "inDays", { n: Math.round(n / DAY) });
  return w(past ? "yearsAgo" : "inYears", { count: Math.round(n / DAY / 365) });
}

const long: Intl.DateTimeFormatOptions = { timeZone: "UTC", day: "numeric", month: "long", year: "numeric" };
const clock: Intl.DateTimeFormatOptions = { timeZone: "UTC", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

/** "31 March 2027", in UTC. */
export const date = (at: number) => new Intl.DateTimeFormat("en-GB" === languageNow() ? "en-GB" : languageNow() === "en" ? "en-GB" : languageNow(), long).format(at);
/** "12:18:05 UTC", with the day before it unless that is today. */
export function moment(at: number, from = Date.now()): string {
  const time = w("utc", { time: new Intl.DateTimeFormat("en-GB", clock).format(at) });
  return new Date(at).toISOString().slice(0, 10) === new Date(from).toISOString().slice(0, 10) ? time : `${date(at)}, ${time}`;
}

interface Props {
  at: string | number | Date;
  className?: string;
}
const millis = (at: Props["at"]) => new Date(at).getTime();

/** Relative, with the absolute on hover and focus. `both` shows the absolute below. */
export function Ago({ at, both, className = "" }: Props & { both?: boolean }) {
  const from = useNow();
  const t = millis(at);
  const absolute = moment(t, from);
  return (
    <time dateTime={new Date(t).toISOString()} title={both ? undefined : absolute} className={className}>
      {relative(t, from)}
      {both && <span className="block text-xs text-ink-3">{absolute}</span>}
    </time>
  );
}

/** A deadline: the date and how long until then. */
export function Deadline({ at, className = "" }: Props) {
  const from = useNow();
  const t = millis(at);
  return (
    <time dateTime={new Date(t).toISOString()} title={moment(t, from)} className={className}>
      {date(t)}, {relative(t, from)}
    </time>
  );
}

/** "last event 3 s ago", amber when older than three times the usual gap (seconds). */
export function Freshness({ at, usualGap }: { at: string | number | Date | undefined; usualGap?: number }) {
  const from = useNow();
  if (at === undefined) return <span>{w("noEvent")}</span>;
  const t = millis(at);
  const late = usualGap !== undefined && from - t > 3000 * usualGap;
  return (
    <time dateTime={new Date(t).toISOString()} title={moment(t, from)} className={late ? "text-warn" : undefined}>
      {w("lastEvent", { ago: relative(t, from) })}
    </time>
  );
}
