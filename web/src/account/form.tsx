import { useState, type FormEvent, type ReactNode } from "react";
import { Problem } from "../api/client";
import { Banner } from "../ui/banner";
import { Card } from "../ui/card";
import { Heading, useTitle } from "../ui/page";
import { w as shell } from "../words/shell";

/** What went wrong, in words for the person. */
export const wordsOf = (error: unknown) => (error instanceof Problem && error.detail ? error.detail : shell(error instanceof Problem && error.status === 0 ? "failedNetwork" : "failedServer"));

/** A form that does one thing: it keeps what was typed, and says beside it what went wrong. */
export function useForm(act: () => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const submit = () => {
    if (busy) return;
    setBusy(true);
    setError(undefined);
    act()
      .catch((cause: unknown) => setError(cause))
      .finally(() => setBusy(false));
  };
  const onSubmit = (e: FormEvent) => {
    e.preventDefault();
    submit();
  };
  return { busy, error, submit, onSubmit, setError };
}

export function FormError({ error }: { error: unknown }) {
  if (error === undefined) return null;
  return <Banner kind="refusal" alert>{wordsOf(error)}</Banner>;
}

/** A page with one narrow form. */
export function FormPage({ title, lead, children, foot }: { title: string; lead?: ReactNode; children: ReactNode; foot?: ReactNode }) {
  useTitle(title);
  return (
    <div className="mx-auto grid max-w-form gap-5 py-2 wide:py-8">
      <div className="grid gap-1">
        <Heading>{title}</Heading>
        {lead && <p className="text-ink-2">{lead}</p>}
      </div>
      <Card pad>{children}</Card>
      {foot && <p className="text-center text-sm text-ink-2">{foot}</p>}
    </div>
  );
}
