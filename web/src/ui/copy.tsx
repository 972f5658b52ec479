import { useState } from "react";
import { w } from "../words/shell";
import { IconButton } from "./button";
import { say } from "./said";

/** Puts a text on the clipboard, and says so. Without the clipboard API (plain http beyond loopback) a selection is copied. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr-only";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(w("copied"));
}

export function CopyButton({ text, what, small = true }: { text: string; what: string; small?: boolean }) {
  const [done, setDone] = useState(false);
  return (
    <IconButton
      icon={done ? "check" : "copy"}
      label={w("copyWhat", { what })}
      small={small}
      onClick={() => {
        void copy(text);
        setDone(true);
        setTimeout(() => setDone(false), 1500);
      }}
    />
  );
}

/** One line to copy: a command, an address. */
export function CopyLine({ text, what, shown }: { text: string; what: string; shown?: string }) {
  return (
    <div className="flex h-9 min-w-0 items-center gap-2 rounded-md border border-line bg-bg-code pr-1 pl-3 font-mono text-[0.78125rem]">
      <span className="min-w-0 flex-1 truncate leading-5" title={shown ? undefined : text}>
        {shown ?? text}
      </span>
      <CopyButton text={text} what={what} />
    </div>
  );
}
