// What the pages of an API ask for, and have in common.
import { queryOptions, useQuery } from "@tanstack/react-query";
import { useParams, useSearch } from "@tanstack/react-router";
import { api, got, type Schemas } from "../api/client";

export type ApiPage = Schemas["APIPage"];
export type Chosen = Schemas["ChosenVersion"];

interface Which {
  name: string;
  version: string | undefined;
  environment: string | undefined;
}

/** Which API, version and environment the address names. */
export function useWhich(): Which {
  const { name = "" } = useParams({ strict: false });
  const search: Record<string, string | undefined> = useSearch({ strict: false });
  return { name, version: search["version"], environment: search["environment"] };
}

/** What of the address stays when one goes to another page of the same API. */
export const kept = ({ version, environment }: Which) => ({ version, environment });

/** The query of a request, without what is not said. */
export const asked = ({ version, environment }: Which) => ({ ...(version && { version }), ...(environment && { environment }) });

const pageQuery = (which: Which) =>
  queryOptions({
    queryKey: ["api", which.name, which.version, which.environment],
    queryFn: ({ signal }) => got(api.GET("/v1/catalog/{name}", { params: { path: { name: which.name }, query: asked(which) }, signal })),
    refetchInterval: 15_000,
  });

/** The page of the API that the address names; all pages of an API share it. */
export const useApiPage = () => useQuery(pageQuery(useWhich()));

/** The reference of a version. */
export const referenceQuery = (which: Which) =>
  queryOptions({
    queryKey: ["api-reference", which.name, which.version, which.environment],
    queryFn: ({ signal }) => got(api.GET("/v1/catalog/{name}/reference", { params: { path: { name: which.name }, query: asked(which) }, signal })),
    staleTime: 60_000,
  });

/** Seconds of a duration as Go writes it, 336h0m0s; undefined for none. */
export function seconds(text: string): number | undefined {
  let sum = 0;
  let any = false;
  for (const [, n, unit] of text.matchAll(/([\d.]+)(h|ms|m|s)/g)) {
    any = true;
    sum += Number(n) * ({ h: 3600, m: 60, s: 1, ms: 0.001 }[unit ?? ""] ?? 0);
  }
  return any ? sum : undefined;
}
