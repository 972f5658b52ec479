import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { Button, buttonClass } from "../ui/button";
import { Card } from "../ui/card";
import { Field, Input } from "../ui/field";
import { rate } from "../ui/numbers";
import { Ago } from "../ui/time";
import { w } from "../words/api";
import { useApiPage } from "./api";

/** Looks up why a request was refused. */
function Refused() {
  const navigate = useNavigate();
  const [id, setId] = useState("");
  const [wrong, setWrong] = useState(false);
  return (
    <Card pad>
      <h2 className="text-h3">{w("refusedTitle")}</h2>
      <p className="mt-1 mb-4 text-ink-2">{w("refused")}</p>
      <form
        className="flex flex-wrap items-start gap-2"
        onSubmit={(e) => {
          e.preventDefault();
          const found = /rj_[A-Za-z0-9]+/.exec(id)?.[0];
          setWrong(!found);
          if (found) void navigate({ href: `/rejections/${found}` });
        }}
      >
        <Field label={w("rejectionId")} hint={w("rejectionHint")} error={wrong && w("rejectionWrong")} className="min-w-48 flex-1">
          <Input mono autoComplete="off" spellCheck={false} value={id} onChange={(e) => setId(e.target.value)} />
        </Field>
        <Button type="submit" className="mt-[1.5625rem]">{w("lookUp")}</Button>
      </form>
    </Card>
  );
}

/** Whom to ask, and how. */
export default function Support() {
  const page = useApiPage().data;
  if (!page) return null;
  const { support, team, chosen } = page;
  const flows = [...(chosen?.read ?? []), ...(chosen?.write ?? [])].filter((c) => c.activity);
  const last = flows.map((c) => c.activity?.lastEvent ?? "").toSorted().at(-1);
  return (
    <div className="grid items-start gap-4 full:grid-cols-2">
      <Card pad>
        <h2 className="text-h3">{w("supportTitle")}</h2>
        <p className="mt-1 text-ink-2">
          {team && w("supportTeam", { title: page.title, team })} {!support && w("supportNoTeam")}
        </p>
        {support && (
          <div className="mt-4 flex flex-wrap gap-2">
            {support.email && (
              <a href={`mailto:${support.email}?subject=${encodeURIComponent(chosen?.version ?? page.title)}`} className={buttonClass("primary")}>
                {w("writeTo", { email: support.email })}
              </a>
            )}
            {support.url && (
              <a href={support.url} rel="noreferrer" className={buttonClass()}>
                {w("openPage")}
              </a>
            )}
          </div>
        )}
        <p className="mt-4 text-sm text-ink-2">{w("supportThread")}</p>
      </Card>
      <div className="grid gap-4">
        <Card pad>
          <h2 className="text-h3">{w("statusTitle")}</h2>
          <p className="mt-1 text-ink-2">{flows.length > 0 && last ? w.rich("statusRate", { rate: rate(flows.reduce((n, c) => n + (c.activity?.rate ?? 0), 0)), fresh: <Ago at={last} /> }) : w("statusUnknown")}</p>
        </Card>
        <Refused />
      </div>
    </div>
  );
}
