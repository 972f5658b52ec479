// The catalog of all that is said. Each room has its file here, `words/ROOM.ts`, so that a page
// loads its own words only; English ships. Another language replaces texts by key, by `translate`,
// before the first page is drawn.
import type { ReactNode } from "react";
import { Fragment, createElement } from "react";

/** A text with {places}, or one for each plural form of `count` (CLDR's, as Intl.PluralRules names them). */
export type Text = string | { readonly one: string; readonly other: string };

type Places<S extends string> = S extends `${string}{${infer P}}${infer Rest}` ? P | Places<Rest> : never;
type PlacesOf<T extends Text> = T extends string ? Places<T> : T extends { one: infer A extends string; other: infer B extends string } ? Places<A> | Places<B> | "count" : never;
type Values<T extends Text, V> = [PlacesOf<T>] extends [never] ? [] : [{ readonly [P in PlacesOf<T>]: P extends "count" ? number : V }];

/** What a catalog of one room can do. */
export interface Words<C extends Record<string, Text>> {
  /** The text of a key with its places filled. `{count}` is written with grouped digits. */
  <K extends keyof C & string>(key: K, ...values: Values<C[K], string | number>): string;
  /** The same with elements in its places: `w.rich("ask", { team: <b>shop</b> })`. */
  rich<K extends keyof C & string>(key: K, ...values: Values<C[K], ReactNode>): ReactNode;
}

let language = "en";
let plural = new Intl.PluralRules(language);
let digits = new Intl.NumberFormat(language);
const translated: Record<string, Record<string, Text>> = {};

/** Replaces texts, by room and key; what a translation lacks stays English. */
export function translate(to: string, rooms: Record<string, Record<string, Text>>) {
  language = to;
  plural = new Intl.PluralRules(to);
  digits = new Intl.NumberFormat(to);
  Object.assign(translated, rooms);
}

/** The language of all that is said, for formats of numbers and dates. */
export const languageNow = () => language;

/** The words of one room. */
export function catalog<const C extends Record<string, Text>>(room: string, english: C): Words<C> {
  const text = (key: string, values?: Record<string, unknown>): string => {
    const found: Text | undefined = translated[room]?.[key] ?? english[key];
    if (found === undefined) throw new Error(`bug: no words for ${room}.${key}`);
    if (typeof found === "string") return found;
    return plural.select(Number(values?.["count"])) === "one" ? found.one : found.other;
  };
  const place = /\{(\w+)\}/g;
  const said = (key: string, values?: Record<string, unknown>) =>
    text(key, values).replace(place, (_, name: string) => {
      const value = values?.[name];
      return name === "count" && typeof value === "number" ? digits.format(value) : String(value);
    });
  const rich = (key: string, values?: Record<string, ReactNode>): ReactNode =>
    createElement(
      Fragment,
      null,
      ...text(key, values)
        .split(place)
        .map((part, i) => {
          if (i % 2 === 0) return part;
          const value = values?.[part];
          return part === "count" && typeof value === "number" ? digits.format(value) : value;
        }),
    );
  return Object.assign(said, { rich }) as unknown as Words<C>;
}
