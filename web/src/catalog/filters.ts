// What the list is asked for, as it stands behind the question mark.
import type { paths } from "../api/types.gen";
import type { Schemas } from "../api/client";
import { w } from "../words/browse";
import { w as states } from "../words/states";
import { isState } from "../ui/badge";

type Query = NonNullable<paths["/v1/catalog"]["get"]["parameters"]["query"]>;
export type Facet = Schemas["CatalogFacet"]["name"];
export type View = "cards" | "table";

/** The facets, in the order in which they stand. */
export const facets: readonly Facet[] = ["can", "domain", "state", "format", "team", "tag", "environment"];

const titles = { can: "facetCan", domain: "facetDomain", state: "facetState", format: "facetFormat", team: "facetTeam", tag: "facetTag", environment: "facetEnvironment" } as const;
export const facetTitle = (facet: Facet) => w(titles[facet]);

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** What a value of a facet is called. */
export function valueTitle(facet: Facet, value: string, title?: string): string {
  if (title) return title;
  if (facet === "can") return value === "write" ? w("Write") : w("Read");
  if (facet === "state" && isState(value)) return capital(states(value));
  return facet === "domain" ? capital(value) : value;
}

type Search = Record<string, string | undefined>;

/** The values that are chosen of a facet. None has a comma in it. */
export const chosenOf = (search: Search, facet: Facet): readonly string[] => search[facet]?.split(",").filter(Boolean) ?? [];

/** The search with a value of a facet taken, or given back; the list then begins anew. */
export function toggled(search: Search, facet: Facet, value: string): Search {
  const now = chosenOf(search, facet);
  const next = now.includes(value) ? now.filter((v) => v !== value) : [...now, value];
  return { ...search, [facet]: next.join(",") || undefined, after: undefined };
}

/** The search without what narrows the list. */
export const cleared = (search: Search): Search => ({ view: search["view"], sort: search["sort"] });

export const viewOf = (search: Search): View => (search["view"] === "table" ? "table" : "cards");

/** What the management API is asked. */
export function queryOf(search: Search): Query {
  const sort = search["sort"];
  const some = Object.fromEntries(facets.flatMap((f) => (chosenOf(search, f).length ? [[f, chosenOf(search, f)]] : [])));
  return {
    ...(some as Pick<Query, Facet>),
    ...(search["q"] && { q: search["q"] }),
    ...((sort === "newest" || sort === "subscribed" || sort === "name" || sort === "best") && { sort }),
    ...(search["after"] && { after: search["after"] }),
    limit: viewOf(search) === "table" ? 25 : 24,
  };
}
