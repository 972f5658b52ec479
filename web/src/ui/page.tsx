import { Link, type LinkProps } from "@tanstack/react-router";
import { useEffect, useRef, type ReactNode } from "react";
import { w } from "../words/shell";
import { brandName } from "./head";
import { Icon } from "./icon";

export interface Crumb {
  label: ReactNode;
  link: LinkProps;
}

// The first page is the browser's own navigation: it announces that itself.
let navigated = false;
export const hasNavigated = () => {
  navigated = true;
};

/** The title of the window, and the focus on the heading when one came here by a link. */
export function useTitle(title: string) {
  useEffect(() => {
    document.title = title ? `${title} · ${brandName}` : brandName;
  }, [title]);
}

/** The heading of a page, which gets the focus when the page is gone to. */
export function Heading({ children, className = "" }: { children: ReactNode; className?: string }) {
  const ref = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (navigated) ref.current?.focus({ preventScroll: true });
  }, []);
  return (
    <h1 ref={ref} tabIndex={-1} className={className}>
      {children}
    </h1>
  );
}

/** The way here, from the second level on. */
export function Crumbs({ crumbs, here }: { crumbs: readonly Crumb[]; here: ReactNode }) {
  return (
    <nav aria-label={w("breadcrumb")} className="mb-3">
      <ol className="flex flex-wrap items-center gap-1.5 text-sm text-ink-3">
        {crumbs.map((c, i) => (
          <li key={i} className="flex items-center gap-1.5">
            <Link {...c.link} className="py-0.5 text-ink-2">{c.label}</Link>
            <Icon name="right" className="size-3" />
          </li>
        ))}
        <li aria-current="page" className="min-w-0 [overflow-wrap:anywhere]">{here}</li>
      </ol>
    </nav>
  );
}

/** The head of a page: heading, what stands before and beside it, at most two actions. `title` is the window's. */
export function PageHead({ title, heading, before, beside, actions, crumbs, lead }: { title: string; heading?: ReactNode; before?: ReactNode; beside?: ReactNode; actions?: ReactNode; crumbs?: readonly Crumb[]; lead?: ReactNode }) {
  useTitle(title);
  return (
    <>
      {crumbs && <Crumbs crumbs={crumbs} here={heading ?? title} />}
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-3">
        <div className="flex min-w-0 flex-wrap items-center gap-x-3 gap-y-2">
          {before}
          <Heading>{heading ?? title}</Heading>
          {beside}
        </div>
        {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </div>
      {lead && <p className="mt-1 max-w-(--w-prose) text-ink-2">{lead}</p>}
    </>
  );
}
