import { useSyncExternalStore } from "react";

// What is told to readers of screens, one thing at a time: copied, saved, counts.
let words = "";
const listeners = new Set<() => void>();

/** Says something aloud without moving the focus. */
export function say(text: string) {
  words = words === text ? `${text}\u00a0` : text; // the same words again are heard again
  for (const l of listeners) l();
}

const subscribe = (l: () => void) => {
  listeners.add(l);
  return () => { listeners.delete(l); };
};

export function Said() {
  const text = useSyncExternalStore(subscribe, () => words);
  return (
    <div role="status" aria-live="polite" className="sr-only">
      {text}
    </div>
  );
}
