// Documents of sluice/v1, as far as these pages read them.
import { queryOptions } from "@tanstack/react-query";
import { api, got, type Schemas } from "../api/client";
import { queryClient } from "../api/queries";

type Document = Schemas["Document"];

export interface Meta {
  name: string;
  environment?: string;
  team?: string;
}
export interface Doc<S> {
  meta: Meta;
  spec: S;
  status: Schemas["Status"] | undefined;
}
export interface ApplicationSpec {
  description?: string;
  suspended?: boolean;
}
export interface SubscriptionSpec {
  application: string;
  product: string;
  plan: string;
  state?: string;
  expires?: string;
}
export interface CredentialSpec {
  application: string;
  type: "plain" | "scram" | "oauth" | "mtls";
  clientId?: string;
  notAfter?: string;
  state?: string;
  until?: string;
}

/** A document as these pages read it. What the server sends is what its kind says, since it has checked it; an empty spec is null. */
export const doc = <S>(d: Document): Doc<S> => ({ meta: d.metadata as Meta, spec: (d.spec ?? {}) as S, status: d.status });

const most = 1000; // of one application; the server takes no more per page

export const applicationQuery = (name: string) =>
  queryOptions({ queryKey: ["applications", name], queryFn: async ({ signal }) => doc<ApplicationSpec>(await got(api.GET("/v1/applications/{name}", { params: { path: { name } }, signal }))) });

export const subscriptionsQuery = (application: string) =>
  queryOptions({
    queryKey: ["applications", application, "subscriptions"],
    queryFn: async ({ signal }) => ((await got(api.GET("/v1/subscriptions", { params: { query: { to: `Application/${application}`, limit: most } }, signal }))).items ?? []).map((d) => doc<SubscriptionSpec>(d)),
  });

/** Credentials with what is told of their secrets, which the server says of one at a time. */
export const credentialsQuery = (application: string) =>
  queryOptions({
    queryKey: ["applications", application, "credentials"],
    queryFn: async ({ signal }) => {
      const page = await got(api.GET("/v1/credentials", { params: { query: { to: `Application/${application}`, limit: most } }, signal }));
      const names = (page.items ?? []).map((d) => (d.metadata as Meta).name);
      return Promise.all(names.map(async (name) => doc<CredentialSpec>(await got(api.GET("/v1/credentials/{name}", { params: { path: { name } }, signal })))));
    },
  });

export const effectiveQuery = (application: string, environment: string) =>
  queryOptions({
    queryKey: ["applications", application, "effective", environment],
    queryFn: ({ signal }) => got(api.GET("/v1/applications/{name}/effective", { params: { path: { name: application }, query: { environment } }, signal })),
  });

export const environmentsQuery = queryOptions({
  queryKey: ["environments"],
  queryFn: async ({ signal }) => ((await got(api.GET("/v1/environments", { params: { query: { limit: most } }, signal }))).items ?? []).map((d) => (d.metadata as Meta).name),
  staleTime: 60_000,
});

/** After a change of something that an application has. */
export const again = (application: string) => queryClient.invalidateQueries({ queryKey: ["applications", application] });

/** The one that is shown when nobody says: production, else the first. */
export const defaultEnvironment = (all: readonly string[]) => all.find((e) => /^prod/.test(e)) ?? all.toSorted()[0];
