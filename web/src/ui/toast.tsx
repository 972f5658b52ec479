import { useEffect, useSyncExternalStore, type ReactNode } from "react";
import { w } from "../words/shell";
import { Button, IconButton } from "./button";

// Finished actions, with undo or a link. Errors are not here: they stay where they arose.
interface Toast {
  id: number;
  text: ReactNode;
  action?: { label: string; do: () => void } | undefined;
}

let all: readonly Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();
const tell = (to: readonly Toast[]) => {
  all = to;
  for (const l of listeners) l();
};
const subscribe = (l: () => void) => {
  listeners.add(l);
  return () => { listeners.delete(l); };
};

const most = 3;

export function toast(text: ReactNode, action?: Toast["action"]) {
  tell([...all.slice(1 - most), { id: next++, text, action }]);
}

function One({ toast: t }: { toast: Toast }) {
  const close = () => tell(all.filter((o) => o.id !== t.id));
  useEffect(() => {
    // What can be undone stays longer; whoever needs more time finds it on the object's page.
    const timer = setTimeout(() => tell(all.filter((o) => o.id !== t.id)), t.action ? 15_000 : 6_000);
    return () => clearTimeout(timer);
  }, [t]);
  return (
    <li className="flex animate-rise items-center gap-3 rounded-lg border border-line bg-raised py-2 pr-2 pl-4 text-sm shadow-2">
      <span className="min-w-0 flex-1">{t.text}</span>
      {t.action && (
        <Button size="sm" kind="quiet" onClick={() => { t.action?.do(); close(); }}>
          {t.action.label}
        </Button>
      )}
      <IconButton icon="x" label={w("close")} onClick={close} small />
    </li>
  );
}

export function Toasts() {
  const toasts = useSyncExternalStore(subscribe, () => all);
  return (
    <div role="status" aria-live="polite" className="fixed right-4 bottom-4 left-4 z-40 ml-auto max-w-[26rem] wide:left-auto wide:w-[26rem]">
      <ol className="grid gap-2">
        {toasts.map((t) => (
          <One key={t.id} toast={t} />
        ))}
      </ol>
    </div>
  );
}
