import type { ReactNode } from "react";

/** A surface with a hairline. */
export function Card({ children, className = "", pad }: { children: ReactNode; className?: string; pad?: boolean }) {
  return <div className={`min-w-0 rounded-lg border border-line bg-raised ${pad ? "p-5" : ""} ${className}`}>{children}</div>;
}

export function CardHead({ title, children }: { title: ReactNode; children?: ReactNode }) {
  return (
    <div className="flex min-h-[3.125rem] flex-wrap items-center gap-3 border-b border-line px-4 py-[0.6875rem]">
      <h2 className="flex-1 text-h3 tracking-[-0.006em]">{title}</h2>
      {children}
    </div>
  );
}

export function CardFoot({ children }: { children: ReactNode }) {
  return <div className="flex flex-wrap items-center gap-3 border-t border-line px-4 py-[0.5625rem] text-sm text-ink-3">{children}</div>;
}

/** A section of a page: its heading, what can be done at its right, and the rest. */
export function Section({ title, actions, children, id }: { title: ReactNode; actions?: ReactNode; children: ReactNode; id?: string }) {
  return (
    <section className="grid min-w-0 grid-cols-1 gap-2" aria-labelledby={id} >
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2">
        <h2 id={id}>{title}</h2>
        {actions && <div className="flex flex-wrap items-center gap-2 has-[form]:max-wide:w-full">{actions}</div>}
      </div>
      {children}
    </section>
  );
}
