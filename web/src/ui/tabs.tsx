import { Link, type LinkProps } from "@tanstack/react-router";
import { Tabs as Radix } from "radix-ui";
import type { ReactNode } from "react";

const list = "flex gap-5 overflow-x-auto overflow-y-hidden border-b border-line [scrollbar-width:none]";
const one = "-mb-px flex-none border-b-2 border-transparent px-px py-[0.5625rem] text-md whitespace-nowrap text-ink-2 hover:border-line-strong hover:text-ink hover:no-underline";

/** Tabs of an object: each is an address. */
export function LinkTabs({ label, tabs }: { label: string; tabs: readonly { link: LinkProps; label: ReactNode }[] }) {
  return (
    <nav aria-label={label} className={`mt-4 ${list}`} tabIndex={-1}>
      {tabs.map((t, i) => (
        <Link key={i} {...t.link} activeOptions={{ exact: true, includeSearch: false }} className={one} activeProps={{ className: "!border-accent font-semibold !text-ink", "aria-current": "page" }}>
          {t.label}
        </Link>
      ))}
    </nav>
  );
}

/** Tabs within a page, where the address does not change. */
export function Tabs({ label, tabs, value, onChange }: { label: string; tabs: readonly { value: string; label: ReactNode; content: ReactNode }[]; value?: string; onChange?: (value: string) => void }) {
  return (
    <Radix.Root defaultValue={tabs[0]?.value ?? ""} {...(value !== undefined && { value })} {...(onChange && { onValueChange: onChange })}>
      <Radix.List aria-label={label} className={list}>
        {tabs.map((t) => (
          <Radix.Trigger key={t.value} value={t.value} className={`${one} data-[state=active]:border-accent data-[state=active]:font-semibold data-[state=active]:text-ink`}>
            {t.label}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map((t) => (
        <Radix.Content key={t.value} value={t.value} className="pt-4">
          {t.content}
        </Radix.Content>
      ))}
    </Radix.Root>
  );
}
