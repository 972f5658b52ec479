// The entry of the portal.
import { lazyRouteComponent } from "@tanstack/react-router";
import { makeRouter } from "./routes";
import { start } from "./start";
import { PortalShell } from "./ui/shell";

start(makeRouter({ Portal: PortalShell, Console: lazyRouteComponent(() => import("./console/shell"), "ConsoleShell") }));
