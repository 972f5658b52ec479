// All addresses, each with the room that draws it. A room is loaded when it is gone to, or when a
// pointer or the focus comes near a link to it. Titles and what the server knows of an address are in
// words/addresses.json, which the server reads too: a new address needs its row there.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, type RouteComponent } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { meQuery, queryClient } from "./api/queries";
import { Failed } from "./ui/states";

type Room = () => Promise<{ default: () => ReactNode }>;
interface Shells {
  Portal: RouteComponent;
  Console: RouteComponent;
}

// What can stand behind the question mark, of all pages: filters, sort, range, what is chosen. Rooms read what is theirs.
type Search = Record<string, string | undefined>;
const search = (raw: Record<string, unknown>): Search => Object.fromEntries(Object.entries(raw).flatMap(([k, v]) => (v === undefined || typeof v === "object" ? [] : [[k, String(v)]])));

const lost: Room = () => import("./lost/lost");

/** The router of both entries; each brings its own shell, and the other's is loaded when it is gone to. */
export function makeRouter({ Portal, Console }: Shells) {
  const root = createRootRoute({
    validateSearch: search,
    notFoundComponent: lazyRouteComponent(() => import("./lost/lost-in-portal")),
    loader: () => {
      void queryClient.prefetchQuery(meQuery);
    },
  });
  const portal = createRoute({ getParentRoute: () => root, id: "portal", component: Portal });
  const console = createRoute({ getParentRoute: () => root, id: "in-console", component: Console });
  const page = <const P extends string>(path: P, load: Room) => createRoute({ getParentRoute: () => portal, path, component: lazyRouteComponent(load) });
  const api = createRoute({ getParentRoute: () => portal, path: "/apis/$name", component: lazyRouteComponent(() => import("./api-page/frame")) });
  const tab = <const P extends string>(path: P, load: Room) => createRoute({ getParentRoute: () => api, path, component: lazyRouteComponent(load) });
  const tool = <const P extends string>(path: P, load: Room) => createRoute({ getParentRoute: () => console, path, component: lazyRouteComponent(load) });

  return createRouter({
    routeTree: root.addChildren([
      portal.addChildren([
        page("/", () => import("./home/home")),
        page("/catalog", () => import("./catalog/catalog")),
        page("/guides", lost),
        api.addChildren([
          tab("/", () => import("./api-page/overview")),
          tab("/reference", () => import("./api-page/reference")),
          tab("/changelog", () => import("./api-page/changelog")),
          tab("/support", () => import("./api-page/support")),
          tab("/guides", lost),
          tab("/guides/$page", lost),
          tab("/try", lost),
          tab("/connect", lost),
        ]),
        page("/apis/$name/subscribe", lost),
        page("/products/$name", lost),
        page("/apps", () => import("./applications/list")),
        page("/apps/$name", () => import("./applications/enter")),
        page("/apps/$name/$environment", () => import("./applications/overview")),
        page("/apps/$name/$environment/credentials", () => import("./applications/credentials-page")),
        page("/apps/$name/$environment/rights", () => import("./applications/rights")),
        page("/apps/$name/$environment/refused", () => import("./applications/refused-page")),
        page("/rejections/$id", () => import("./applications/rejection")),
        page("/account", () => import("./account/profile")),
        page("/account/logins", () => import("./account/logins")),
        page("/account/keys", () => import("./account/tokens")),
        page("/login", () => import("./account/login")),
        page("/signup", () => import("./account/signup")),
        page("/password", () => import("./account/password")),
      ]),
      console.addChildren([tool("/console", () => import("./console/home"))]),
    ]),
    defaultPreload: "intent",
    scrollRestoration: true,
    defaultErrorComponent: ({ error, reset }) => <Failed error={error} again={reset} />,
    // Values of the search are plain text, so that addresses can be read and typed.
    parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
    stringifySearch: (values) => {
      const text = new URLSearchParams(Object.entries(values).flatMap(([k, v]) => (v === undefined || v === "" ? [] : [[k, String(v)]]))).toString();
      return text && `?${text}`;
    },
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
