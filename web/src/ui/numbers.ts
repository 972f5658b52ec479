// Numbers as they are shown: grouped up to 9,999,999, then in millions; bytes in powers of 1,024.
import { languageNow } from "../words/catalog";
import { w } from "../words/units";

const formats = new Map<string, Intl.NumberFormat>();
function format(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = languageNow() + JSON.stringify(options);
  let f = formats.get(key);
  if (!f) formats.set(key, (f = new Intl.NumberFormat(languageNow(), options)));
  return f;
}

/** All digits, for hover, copies and exports. */
export const full = (n: number) => format({ maximumFractionDigits: 20 }).format(n).replace("-", "−");

/** Three digits that mean something. */
export const three = (n: number) => format({ maximumSignificantDigits: 3 }).format(n).replace("-", "−");

/** A count: 1,482 or "41.2 million". */
export function count(n: number): string {
  const size = Math.abs(n);
  if (size < 10_000_000) return full(Math.round(n));
  return size < 1e9 ? w("million", { n: three(n / 1e6) }) : w("billion", { n: three(n / 1e9) });
}

/** A share of a whole, which is to be named beside it. */
export const percent = (part: number, whole: number) => `${whole > 0 ? Math.round((part / whole) * 100) : 0} %`;

/** Bytes: 512 B, 5 MiB. */
export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = n;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${three(value)} ${units[unit]}`;
}

/** A rate: 38 records/s; below one, one every so many seconds is easier to grasp, but a number compares. */
export const rate = (perSecond: number, what = "records") => `${perSecond >= 1000 ? full(Math.round(perSecond)) : three(perSecond)} ${what}/s`;

/** A duration: 3.1 s, 12 min, 14 d. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${three(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
