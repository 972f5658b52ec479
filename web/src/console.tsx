// The entry of the console.
import { lazyRouteComponent } from "@tanstack/react-router";
import { ConsoleShell } from "./console/shell";
import { makeRouter } from "./routes";
import { start } from "./start";

start(makeRouter({ Portal: lazyRouteComponent(() => import("./ui/shell"), "PortalShell"), Console: ConsoleShell }));
