// Schemas and records in the five roles of syntax. What is not known stays plain text.
import type { Piece } from "./code";

type Rule = readonly [RegExp, Piece["role"]];

const json: readonly Rule[] = [
  [/"(?:[^"\\]|\\.)*"(?=\s*:)/y, "key"],
  [/"(?:[^"\\]|\\.)*"/y, "string"],
  [/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\b(?:true|false|null)\b/y, "number"],
];
const protobuf: readonly Rule[] = [
  [/\/\/[^\n]*|\/\*[\s\S]*?\*\//y, "comment"],
  [/"(?:[^"\\\n]|\\.)*"/y, "string"],
  [/\b(?:syntax|edition|package|import|option|message|enum|oneof|map|repeated|optional|required|reserved|extensions|service|rpc|returns|to|max)\b/y, "keyword"],
  [/\b(?:double|float|u?int32|u?int64|sint32|sint64|s?fixed32|s?fixed64|bool|string|bytes)\b/y, "key"],
  [/\b\d+\b/y, "number"],
];
const yaml: readonly Rule[] = [
  [/#[^\n]*/y, "comment"],
  [/[\w$./-]+(?=:(?:\s|$))/my, "key"],
  [/"(?:[^"\\]|\\.)*"|'[^']*'/y, "string"],
];

const rules: Record<string, readonly Rule[]> = { json, protobuf, yaml };

const most = 200_000; // letters; more is shown plain, since each piece is an element

/** A text of a language in its pieces. */
export function highlight(text: string, language: string): readonly Piece[] {
  const of = rules[language];
  if (!of || text.length > most) return [{ text }];
  const out: Piece[] = [];
  let plain = 0;
  for (let at = 0; at < text.length; ) {
    let found: { text: string; role: Piece["role"] } | undefined;
    for (const [pattern, role] of of) {
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      if (match?.[0]) {
        found = { text: match[0], role };
        break;
      }
    }
    if (!found) {
      // A word is passed over whole, so that nothing is found in its middle.
      const word = /\w+/y;
      word.lastIndex = at;
      at += word.exec(text)?.[0].length ?? 1;
      continue;
    }
    if (at > plain) out.push({ text: text.slice(plain, at) });
    out.push(found.role ? { text: found.text, role: found.role } : { text: found.text });
    at += found.text.length;
    plain = at;
  }
  if (plain < text.length) out.push({ text: text.slice(plain) });
  return out;
}
