// The management API, typed by its own description. A login is a cookie, which the browser sends.
import createClient from "openapi-fetch";
import type { components, paths } from "./types.gen";

export type Schemas = components["schemas"];
export type Fault = Schemas["Fault"];

/** An answer that is none (RFC 9457), as an Error. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    readonly detail: string,
    readonly instance: string,
    readonly faults: readonly Fault[],
  ) {
    super(detail);
    this.name = "Problem";
  }
  /** It is not there, or not for whoever asks: the two look the same. */
  get hidden() {
    return this.status === 404;
  }
  get notAllowed() {
    return this.status === 401 || this.status === 403;
  }
  /** The id that the server's log has too. */
  get id() {
    return this.instance.replace(/^.*[:/]/, "");
  }
}

const client = createClient<paths>({ baseUrl: "", credentials: "same-origin" });

/** Calls the API: `api.GET("/v1/me")` gives `{ data, error, response }`; wrap it in `got`. */
export const api = client;

interface Answer<T> {
  data?: T | undefined;
  error?: unknown;
  response: Response;
}

function isProblem(body: unknown): body is Partial<Schemas["Problem"]> {
  return typeof body === "object" && body !== null && "detail" in body;
}

/** The body of an answer, or its Problem as an error. */
export async function got<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer.catch((cause: unknown) => {
    throw new Problem(0, "", cause instanceof Error && cause.name === "AbortError" ? "aborted" : "", "", []);
  });
  if (response.ok) return data as T;
  if (isProblem(error)) {
    throw new Problem(response.status, error.type ?? "", error.detail ?? "", error.instance ?? "", error.faults ?? []);
  }
  throw new Problem(response.status, "", "", response.headers.get("X-Request-Id") ?? "", []);
}
