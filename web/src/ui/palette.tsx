import { useRouter } from "@tanstack/react-router";
import { Dialog } from "radix-ui";
import { useId, useState, type KeyboardEvent } from "react";
import addresses from "../words/addresses.json";
import { w } from "../words/shell";
import { Icon, type IconName } from "./icon";

/** One thing that can be gone to, or done. */
export interface Result {
  id: string;
  icon: IconName;
  label: string;
  /** At the right: whose it is, of which kind. */
  note?: string;
  mono?: boolean;
  to: string;
}

interface Group {
  title: string;
  results: readonly Result[];
}

const pages: readonly Result[] = addresses.filter((a) => !a.path.includes("{") && !("console" in a)).map((a) => ({ id: a.path, icon: "doc", label: a.path === "/" ? "Home" : a.title, to: a.path }));
const most = 5;

/** What is there for a query; the catalog adds its own groups (APIs, topics, fields, applications) from the server. */
function usePages(query: string): readonly Group[] {
  const q = query.trim().toLowerCase();
  const found = pages.filter((p) => p.label.toLowerCase().includes(q)).slice(0, most);
  return found.length ? [{ title: w("searchPages"), results: found }] : [];
}

function Marked({ text, query }: { text: string; query: string }) {
  const q = query.trim();
  const at = q ? text.toLowerCase().indexOf(q.toLowerCase()) : -1;
  if (at < 0) return text;
  return (
    <>
      {text.slice(0, at)}
      <mark>{text.slice(at, at + q.length)}</mark>
      {text.slice(at + q.length)}
    </>
  );
}

/** Search, from everywhere. Arrows move, Enter opens, ⌘ Enter in a new tab. */
export default function Palette({ onClose }: { onClose: () => void }) {
  const router = useRouter();
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const groups = usePages(query);
  const all = groups.flatMap((g) => g.results);
  const chosen = all[Math.min(at, all.length - 1)];
  const go = (to: string, newTab: boolean) => {
    if (newTab) {
      open(to, "_blank", "noopener");
      return;
    }
    onClose();
    void router.navigate({ href: to });
  };
  const onKeyDown = (e: KeyboardEvent) => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      setAt((all.length + Math.min(at, all.length - 1) + (e.key === "ArrowDown" ? 1 : -1)) % Math.max(1, all.length));
    } else if (e.key === "Enter" && chosen) {
      e.preventDefault();
      go(chosen.to, e.metaKey || e.ctrlKey);
    }
  };
  return (
    <Dialog.Root open onOpenChange={(to) => { if (!to) onClose(); }}>
      <Dialog.Portal>
        <Dialog.Overlay className="fixed inset-0 z-40 animate-fade bg-scrim" />
        <Dialog.Content aria-describedby={undefined} className="fixed inset-x-4 top-[12vh] z-40 mx-auto flex max-h-[70vh] max-w-[38rem] animate-rise flex-col overflow-hidden rounded-xl border border-line bg-raised shadow-3 focus:outline-none">
          <Dialog.Title className="sr-only">{w("searchShort")}</Dialog.Title>
          <div className="flex items-center gap-2.5 border-b border-line px-4">
            <Icon name="search" className="text-ink-3" />
            <input
              role="combobox"
              aria-expanded="true"
              aria-controls={`${id}-list`}
              aria-activedescendant={chosen && `${id}-${all.indexOf(chosen)}`}
              aria-label={w("searchLabel")}
              placeholder={w("search")}
              className="h-12 min-w-0 flex-1 bg-transparent text-h3 outline-none"
              value={query}
              onChange={(e) => { setQuery(e.target.value); setAt(0); }}
              onKeyDown={onKeyDown}
            />
            <kbd className="rounded-sm border border-line-strong bg-sunken px-[0.3125rem] font-sans text-2xs text-ink-2" aria-hidden="true">Esc</kbd>
          </div>
          <div id={`${id}-list`} role="listbox" aria-label={w("searchResults")} className="min-h-0 flex-1 overflow-y-auto pb-1">
            {groups.map((g) => (
              <div key={g.title} role="group" aria-label={g.title}>
                <div className="px-4 pt-2.5 pb-1 text-xs text-ink-3" aria-hidden="true">{g.title}</div>
                {g.results.map((r) => {
                  const i = all.indexOf(r);
                  return (
                    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events -- the input above has the focus and the keys
                    <div
                      key={r.id}
                      id={`${id}-${i}`}
                      role="option"
                      tabIndex={-1}
                      aria-selected={r === chosen}
                      onPointerMove={() => setAt(i)}
                      onClick={(e) => go(r.to, e.metaKey || e.ctrlKey)}
                      className="flex min-w-0 cursor-pointer items-center gap-2.5 px-4 py-[0.4375rem] text-sm aria-selected:bg-selected"
                    >
                      <Icon name={r.icon} className="text-ink-3" />
                      <span className={`truncate ${r.mono ? "font-mono" : ""}`}>
                        <Marked text={r.label} query={query} />
                      </span>
                      {r.note && <span className="ml-auto flex-none text-xs text-ink-3">{r.note}</span>}
                    </div>
                  );
                })}
              </div>
            ))}
          </div>
          {all.length === 0 && <p className="px-4 pt-3 pb-4 text-sm text-ink-2">{query ? w("searchNothing", { query }) : w("searchEmpty")}</p>}
          <div className="hidden items-center gap-4 border-t border-line px-4 py-2 text-xs text-ink-3 wide:flex" aria-hidden="true">
            <span>↑ ↓ {w("keysMove")}</span>
            <span>↵ {w("keysOpen")}</span>
            <span>⌘ ↵ {w("keysOpenTab")}</span>
          </div>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
