// What a part of a page looks like when it has nothing to show: it loads, is empty, failed, or is for others.
import type { UseQueryResult } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";
import { Problem } from "../api/client";
import { w } from "../words/shell";
import { Button, ButtonLink } from "./button";
import { Card } from "./card";
import { Icon, type IconName } from "./icon";
import { moment } from "./time";

/** Nothing for 150 ms, then bones in the final layout. */
export function Loading({ what, rows = 5, className = "" }: { what: string; rows?: number; className?: string }) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 150);
    return () => clearTimeout(timer);
  }, []);
  const widths = ["w-[46%]", "w-[84%]", "w-[62%]", "w-[84%]", "w-[30%]", "w-[62%]"];
  return (
    <div aria-busy="true" className={`grid min-h-24 content-start gap-4 ${className}`}>
      <span className="sr-only">
        {w("loading")} {what}
      </span>
      {late && Array.from({ length: rows }, (_, i) => <div key={i} className={`h-3 animate-bone rounded-[4px] bg-mute-soft ${widths[i % widths.length]}`} />)}
    </div>
  );
}

/** An icon, what would be here, and the one action that fills it. */
export function Empty({ icon = "flow", title, children, action, level = 3 }: { icon?: IconName; title: ReactNode; children?: ReactNode; action?: ReactNode; level?: 1 | 2 | 3 }) {
  const Heading = `h${level}` as "h1" | "h2" | "h3";
  return (
    <div className="grid justify-items-center gap-3 px-6 py-10 text-center text-ink-2">
      <Icon name={icon} className="size-7 stroke-[1.2] text-ink-3" />
      <Heading className={level === 1 ? "text-ink" : "text-lg leading-6 font-[650] text-ink"} {...(level === 1 && { tabIndex: -1 })}>
        {title}
      </Heading>
      {children && <div className="grid max-w-[26rem] gap-2 text-sm text-pretty">{children}</div>}
      {action && <div className="flex flex-wrap items-center justify-center gap-2">{action}</div>}
    </div>
  );
}

const words = (error: unknown) => {
  if (error instanceof Problem && error.status === 0) return w("failedNetwork");
  if (error instanceof Problem && error.detail) return error.detail;
  return w("failedServer");
};

/** What could not be done, Try again, and the id. */
export function Failed({ error, again, title = w("failed") }: { error: unknown; again?: () => void; title?: ReactNode }) {
  const id = error instanceof Problem ? error.id : "";
  return (
    <Empty
      icon="alert"
      title={title}
      action={
        <>
          {again && <Button size="sm" onClick={again}>{w("tryAgain")}</Button>}
          {id && (
            <span className="text-xs text-ink-3">
              {w("requestId")} <span className="font-mono">{id}</span>
            </span>
          )}
        </>
      }
    >
      <p>{words(error)}</p>
    </Empty>
  );
}

/** For nobody: log in, and come back. For others: who you are, and why not. */
export function NotAllowed({ reason, login, level = 1 }: { reason?: string; login: string; level?: 1 | 2 | 3 }) {
  if (!login) {
    return (
      <Empty icon="lock" level={level} title={w("notAllowedNobodyTitle")} action={<ButtonLink kind="primary" size="sm" to="/login" search={{ return: location.pathname + location.search }}>{w("logIn")}</ButtonLink>}>
        <p>{w("notAllowedNobody")}</p>
      </Empty>
    );
  }
  return (
    <Empty icon="lock" level={level} title={w("notAllowedTitle")}>
      <p>{w("notAllowed", { login, reason: reason ?? "" })}</p>
    </Empty>
  );
}

/** Unknown and forbidden objects look the same. */
export function NotFound({ loggedIn }: { loggedIn: boolean }) {
  return (
    <Empty
      level={1}
      icon="search"
      title={w("notFoundTitle")}
      action={
        <>
          <ButtonLink size="sm" kind={loggedIn ? "primary" : "plain"} to="/catalog">{w("toCatalog")}</ButtonLink>
          {!loggedIn && <ButtonLink size="sm" kind="primary" to="/login" search={{ return: location.pathname + location.search }}>{w("logIn")}</ButtonLink>}
        </>
      }
    >
      <p>{w("notFound")}</p>
      {!loggedIn && <p>{w("notFoundLogin")}</p>}
    </Empty>
  );
}

/** A part of a page that waits for a query: bones, the part, or what went wrong. Old data stays while it is fetched anew. */
export function Await<T>({ query, what, children, rows, card }: { query: UseQueryResult<T>; what: string; children: (data: T) => ReactNode; rows?: number; card?: boolean }) {
  const around = (inner: ReactNode) => (card ? <Card>{inner}</Card> : inner);
  if (query.data !== undefined) {
    return (
      <div className="relative min-w-0">
        {query.isError && <p className="mb-1 text-xs text-warn">{w("stale", { time: moment(query.dataUpdatedAt) })}</p>}
        {children(query.data)}
      </div>
    );
  }
  if (query.isError) return around(<Failed error={query.error} again={() => void query.refetch()} />);
  return around(<Loading what={what} {...(rows !== undefined && { rows })} className={card ? "p-5" : ""} />);
}
