// What pages ask for, with how long it is good. A page's own queries lie in its room.
import { QueryClient, queryOptions } from "@tanstack/react-query";
import { Problem, api, got } from "./client";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      retry: (count, error) => count < 2 && error instanceof Problem && (error.status === 0 || error.status >= 500),
      retryDelay: (count) => 500 * 2 ** count,
    },
  },
});

/** Forgets what somebody saw, who has logged in or out since; what is on the page is asked for anew. */
export async function forget() {
  queryClient.removeQueries({ type: "inactive" });
  await queryClient.resetQueries();
}

/** Who is logged in, with their roles; actor is "nobody" for nobody. */
export const meQuery = queryOptions({ queryKey: ["me"], queryFn: ({ signal }) => got(api.GET("/v1/me", { signal })), staleTime: 60_000 });

/** In which ways people log in. */
export const loginMethodsQuery = queryOptions({ queryKey: ["login-methods"], queryFn: ({ signal }) => got(api.GET("/v1/login/methods", { signal })), staleTime: Infinity });
