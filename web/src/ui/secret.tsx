import { useState } from "react";
import { w } from "../words/shell";
import { Button } from "./button";
import { CopyButton } from "./copy";
import { Icon } from "./icon";

/** A secret that is shown once: to copy, and to look at while this page still holds it. */
export function Secret({ value, what }: { value: string; what: string }) {
  const [shown, setShown] = useState(true);
  return (
    <div className="grid gap-2 rounded-lg border border-line bg-bg-code p-4">
      <div className="flex items-start gap-2">
        <code className="min-w-0 flex-1 font-mono text-sm [overflow-wrap:anywhere]" data-secret={shown ? "shown" : "hidden"}>{shown ? value : "•".repeat(16)}</code>
        <CopyButton text={value} what={what} />
      </div>
      <div className="flex flex-wrap items-center justify-between gap-2">
        <p className="flex items-center gap-1.5 text-xs text-warn">
          <Icon name="alert" className="size-3.5" />
          {w("secretShown")}
        </p>
        <Button size="sm" kind="quiet" icon="eye" onClick={() => setShown(!shown)}>
          {shown ? w("hideSecret") : w("showSecret")}
        </Button>
      </div>
    </div>
  );
}
