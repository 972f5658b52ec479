// Who is logged in, as the management API says it.
import type { Schemas } from "../api/client";

export type Me = Schemas["Me"];

/** The login name, "" for nobody. */
export const nameOf = (me: Me | undefined) => (me?.actor.startsWith("person ") ? me.actor.slice("person ".length) : "");

/** Two letters for a small circle. */
export function initialsOf(login: string): string {
  const parts = login.replace(/^.*:/, "").replace(/@.*$/, "").split(/[._\-+\s]+/).filter(Boolean);
  const [first = "", second] = parts;
  return (second ? (first[0] ?? "") + (second[0] ?? "") : first.slice(0, 2)).toUpperCase();
}

/** Whether the console has anything for them. */
export const isConsolePerson = (me: Me | undefined) => Boolean(me?.platformAdmin) || Boolean(me?.roles?.some((r) => r.role !== "app-developer"));

/** Where they may make applications. */
export const teamsOf = (me: Me | undefined, role: string) => [...new Set((me?.roles ?? []).filter((r) => r.role === role && r.team).map((r) => r.team ?? ""))];
