// Facts of contracts and plans in words.
import { w } from "../words/api";
import { bytes, duration, full } from "../ui/numbers";
import type { Schemas } from "../api/client";
import { seconds } from "./api";

type Limit = Schemas["PlanLimit"];

/** How long records are kept: 14 d; "" where that is not known. */
export function keptFor(retention: string | undefined): string {
  if (!retention) return "";
  if (retention === "unlimited") return w("forGood");
  const s = seconds(retention);
  return s === undefined ? retention : duration(s);
}

const compatibilities = { BACKWARD: "backward", BACKWARD_TRANSITIVE: "backwardAll", FORWARD: "forward", FORWARD_TRANSITIVE: "forwardAll", FULL: "full", FULL_TRANSITIVE: "fullAll", NONE: "noCompatibility" } as const;
export const compatibility = (word: string) => (Object.hasOwn(compatibilities, word) ? w(compatibilities[word as keyof typeof compatibilities]) : word);

const methods = { plain: "plain", scram: "scram", oauth: "oauth", mtls: "mtls" } as const;
export const signIn = (auth: readonly string[]) => auth.map((m) => (Object.hasOwn(methods, m) ? w(methods[m as keyof typeof methods]) : m)).join(", ");

/** The limits of plans, in the order in which they stand. */
export const limitNames = {
  readRecordsPerSecond: "readRecords",
  writeRecordsPerSecond: "writeRecords",
  readBytesPerSecond: "readRate",
  writeBytesPerSecond: "writeRate",
  readBytesPerMonth: "readMonth",
  writeBytesPerMonth: "writeMonth",
  requestsPerSecond: "requests",
  connections: "connections",
  connectionsPerSecond: "newConnections",
  replay: "replay",
} as const;

export function limit(of: Limit | undefined, name: string): string {
  if (!of) return name === "replay" ? w("allKept") : w("noLimit");
  switch (of.unit) {
    case "bytes/s":
      return w("perSecond", { n: bytes(of.number) });
    case "bytes/month":
      return w("aMonth", { size: bytes(of.number) });
    case "records/s":
    case "requests/s":
    case "connections/s":
      return w("perSecond", { n: full(of.number) });
    case "seconds":
      return w("lastReplay", { time: duration(of.number) });
    default:
      return full(of.number);
  }
}

/** A few words joined: "a and b". */
export const joined = (words: readonly string[]) => (words.length < 2 ? words.join("") : w("and", { a: words.slice(0, -1).join(", "), b: words.at(-1) ?? "" }));
