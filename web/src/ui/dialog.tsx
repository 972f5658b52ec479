import { Dialog as Radix } from "radix-ui";
import { useState, type FormEvent, type ReactNode } from "react";
import { w } from "../words/shell";
import { Banner } from "./banner";
import { Button, IconButton } from "./button";
import { Field, Input } from "./field";

const scrim = "fixed inset-0 z-30 animate-fade bg-scrim";

/** A question that wants an answer before anything else. The focus moves in, is kept in, and returns; Escape closes. */
export function Dialog({ open, onClose, title, children, actions, onSubmit, wide }: { open: boolean; onClose: () => void; title: ReactNode; children: ReactNode; actions: ReactNode; onSubmit?: () => void; wide?: boolean }) {
  const body = (
    <>
      <div className="grid gap-4 overflow-y-auto p-5 wide:p-6">
        <Radix.Title className="[overflow-wrap:anywhere]">{title}</Radix.Title>
        {children}
      </div>
      <div className="flex flex-wrap justify-end gap-2 border-t border-line px-5 py-4 wide:px-6">{actions}</div>
    </>
  );
  const submit = (e: FormEvent) => {
    e.preventDefault();
    onSubmit?.();
  };
  return (
    <Radix.Root open={open} onOpenChange={(to) => { if (!to) onClose(); }}>
      <Radix.Portal>
        <Radix.Overlay className={scrim} />
        <div className="pointer-events-none fixed inset-0 z-30 grid place-items-center p-4">
          <Radix.Content aria-describedby={undefined} className={`pointer-events-auto flex max-h-full w-full animate-rise flex-col rounded-xl border border-line bg-raised shadow-3 focus:outline-none ${wide ? "max-w-[46rem]" : "max-w-[33rem]"}`}>
            {onSubmit ? <form onSubmit={submit} className="flex min-h-0 flex-col">{body}</form> : body}
          </Radix.Content>
        </div>
      </Radix.Portal>
    </Radix.Root>
  );
}

/**
 * Before something is taken away: the title asks, the body says how many, whose, when, what stays and whether it can be undone,
 * and the button repeats verb and object. `type` has to be typed, for what cannot be undone and touches running traffic.
 */
export function TakeAway({ open, onClose, title, children, verb, doing, keep, type, typeLabel, act }: {
  open: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
  verb: string;
  doing: string;
  keep: string;
  type?: string | undefined;
  typeLabel?: string | undefined;
  /** Does it; its error is shown here. */
  act: () => Promise<void>;
}) {
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const [was, setWas] = useState(open);
  if (was !== open) {
    setWas(open);
    setTyped("");
    setError("");
  }
  const ready = type === undefined || typed.trim() === type;
  const submit = async () => {
    if (!ready || busy) return;
    setBusy(true);
    setError("");
    try {
      await act();
      onClose();
    } catch (e) {
      setError(e instanceof Error && e.message ? e.message : w("failedNetwork"));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title={title}
      onSubmit={() => void submit()}
      actions={
        <>
          <Button onClick={onClose}>{keep}</Button>
          <Button kind="danger" type="submit" disabled={!ready} busy={busy && doing}>
            {verb}
          </Button>
        </>
      }
    >
      <div className="grid gap-4 text-ink-2">{children}</div>
      {error && <Banner kind="refusal" alert>{error}</Banner>}
      {type !== undefined && (
        <Field label={typeLabel}>
          <Input mono autoComplete="off" spellCheck={false} value={typed} onChange={(e) => setTyped(e.target.value)} />
        </Field>
      )}
    </Dialog>
  );
}

/** A page at the side, for facets and details; the whole window when narrow. */
export function Drawer({ open, onClose, title, children, foot }: { open: boolean; onClose: () => void; title: ReactNode; children: ReactNode; foot?: ReactNode }) {
  return (
    <Radix.Root open={open} onOpenChange={(to) => { if (!to) onClose(); }}>
      <Radix.Portal>
        <Radix.Overlay className={scrim} />
        <Radix.Content aria-describedby={undefined} className="fixed inset-y-0 right-0 z-30 flex w-full animate-slide flex-col border-l border-line bg-bg shadow-3 focus:outline-none wide:w-[27rem]">
          <div className="flex items-center gap-3 border-b border-line py-2.5 pr-2.5 pl-4">
            <Radix.Title className="flex-1 text-h3">{title}</Radix.Title>
            <Radix.Close asChild>
              <IconButton icon="x" label={w("close")} />
            </Radix.Close>
          </div>
          <div className="min-h-0 flex-1 overflow-y-auto p-4">{children}</div>
          {foot && <div className="border-t border-line p-4">{foot}</div>}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
