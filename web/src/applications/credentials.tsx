import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, got, type Schemas } from "../api/client";
import { FormError, useForm } from "../account/form";
import { StateBadge } from "../ui/badge";
import { Banner } from "../ui/banner";
import { Button } from "../ui/button";
import { Card, Section } from "../ui/card";
import { Dialog, TakeAway } from "../ui/dialog";
import { Field, Input, Select } from "../ui/field";
import { MenuItem, RowMenu } from "../ui/menu";
import { Secret } from "../ui/secret";
import { Await, Empty } from "../ui/states";
import { Sub, Table, type Column } from "../ui/table";
import { Ago, moment } from "../ui/time";
import { toast } from "../ui/toast";
import { w } from "../words/applications";
import { again, credentialsQuery, type CredentialSpec, type Doc } from "./documents";

type Credential = Doc<CredentialSpec>;

const types = { scram: "typeScram", plain: "typePlain", oauth: "typeOauth", mtls: "typeMtls" } as const;
const overlaps = [0, 1, 24, 72, 168, 720];
const hours = (h: number) => (h === 0 ? w("atOnce") : h < 48 ? w("hours", { count: h }) : w("days", { count: h / 24 }));

/** The last login with any of its secrets. */
const usedOf = (c: Credential): Schemas["Use"] | undefined =>
  (c.status?.secrets ?? []).flatMap((s) => s.used ?? []).reduce<Schemas["Use"] | undefined>((last, u) => (!last || u.time > last.time ? u : last), undefined);

/** The secret before, while it is still good. */
const previousOf = (c: Credential) => (c.status?.secrets ?? []).find((s) => s.state === "retiring")?.ends;

function Shown({ name, client, secret, note, onClose }: { name: string; client: string; secret: string; note?: string; onClose: () => void }) {
  return (
    <Dialog open onClose={onClose} title={w("secretTitle", { name })} actions={<Button kind="primary" onClick={onClose}>{w("done")}</Button>}>
      <p className="text-ink-2">{w.rich("secretBody", { client: <code>{client}</code> })}</p>
      <Secret value={secret} what={w("secretTitle", { name })} />
      {note && <p className="text-sm text-ink-2">{note}</p>}
    </Dialog>
  );
}

function NewCredential({ name: application, environment, taken, onClose }: { name: string; environment: string; taken: readonly string[]; onClose: () => void }) {
  const [name, setName] = useState(() => {
    for (let n = 1; ; n++) if (!taken.includes(`${application}-${n}`)) return `${application}-${n}`;
  });
  const [type, setType] = useState<"scram" | "plain" | "oauth">("scram");
  const [secret, setSecret] = useState("");
  const form = useForm(async () => {
    const body = { apiVersion: "sluice/v1", kind: "Credential", metadata: { name: name.trim(), environment }, spec: { application, type } };
    const report = await got(api.PUT("/v1/credentials/{name}", { params: { path: { name: name.trim() }, header: { "If-None-Match": "*" } }, body: body as never }));
    await again(application);
    setSecret(report.outcomes?.[0]?.secret ?? "");
  });
  if (secret) return <Shown name={name.trim()} client={name.trim()} secret={secret} onClose={onClose} />;
  return (
    <Dialog
      open
      onClose={onClose}
      title={w("newCredential")}
      onSubmit={form.submit}
      actions={
        <>
          <Button onClick={onClose}>{w("cancel")}</Button>
          <Button kind="primary" type="submit" busy={form.busy && w("making")}>{w("makeCredential")}</Button>
        </>
      }
    >
      <FormError error={form.error} />
      <Field label={w("credentialName")} hint={w("credentialNameHint")}>
        <Input mono required maxLength={128} autoCapitalize="none" spellCheck={false} value={name} onChange={(e) => setName(e.target.value)} />
      </Field>
      <Field label={w("type")} hint={w("typeHint")}>
        <Select value={type} onChange={(e) => setType(e.target.value as typeof type)}>
          <option value="scram">{w("typeScram")}</option>
          <option value="plain">{w("typePlain")}</option>
          <option value="oauth">{w("typeOauth")}</option>
        </Select>
      </Field>
    </Dialog>
  );
}

function Rotate({ credential: c, application, onClose }: { credential: Credential; application: string; onClose: () => void }) {
  const [overlap, setOverlap] = useState(24);
  const [made, setMade] = useState<Schemas["Rotation"]>();
  const name = c.meta.name;
  const form = useForm(async () => {
    const r = await got(api.POST("/v1/credentials/{name}/rotate", { params: { path: { name } }, body: { overlap: `${overlap}h` } }));
    await again(application);
    setMade(r);
  });
  if (made?.secret) return <Shown name={name} client={c.spec.clientId ?? name} secret={made.secret} note={w("previousUntil", { time: moment(Date.parse(made.previousUntil)) })} onClose={onClose} />;
  return (
    <Dialog
      open
      onClose={onClose}
      title={w("rotateTitle", { name })}
      onSubmit={form.submit}
      actions={
        <>
          <Button onClick={onClose}>{w("cancel")}</Button>
          <Button kind={overlap === 0 ? "danger" : "primary"} type="submit" busy={form.busy && w("rotating")}>{w("rotateName", { name })}</Button>
        </>
      }
    >
      <p className="text-ink-2">{w("rotateBody")}</p>
      <FormError error={form.error} />
      <Field label={w("overlap")} hint={w("overlapHint")}>
        <Select value={overlap} onChange={(e) => setOverlap(Number(e.target.value))}>
          {overlaps.map((h) => <option key={h} value={h}>{hours(h)}</option>)}
        </Select>
      </Field>
      {overlap === 0 && <Banner kind="warning" icon="alert">{w("atOnceBody")}</Banner>}
    </Dialog>
  );
}

const ends = (c: Credential) => ["revoked", "expired"].includes(c.spec.state ?? "active");

function Expires({ of: c }: { of: Credential }) {
  if (ends(c)) return c.status?.since && <span className="text-ink-3">{w.rich("ended", { ago: <Ago at={c.status.since} /> })}</span>;
  const at = c.spec.until ?? c.spec.notAfter;
  const previous = previousOf(c);
  return (
    <>
      {at ? <Ago at={at} both className={c.spec.state === "retiring" ? "text-warn" : ""} /> : <span className="text-ink-3">{w("never")}</span>}
      {previous && <Sub>{w("previousUntil", { time: moment(Date.parse(previous)) })}</Sub>}
    </>
  );
}

/** The credentials of an application in one environment. */
export function Credentials({ name, environment }: { name: string; environment: string }) {
  const query = useQuery(credentialsQuery(name));
  const [making, setMaking] = useState(false);
  const [rotating, setRotating] = useState<Credential>();
  const [revoking, setRevoking] = useState<Credential>();
  const own = (query.data ?? []).filter((c) => c.meta.environment === environment);
  const columns: readonly Column<Credential>[] = [
    {
      key: "name",
      head: w("credentialName"),
      cell: (c) => (
        <>
          <span className="font-mono font-semibold">{c.meta.name}</span>
          <Sub>{w(types[c.spec.type])}</Sub>
        </>
      ),
    },
    { key: "state", head: w("state"), label: w("state"), cell: (c) => <StateBadge state={c.spec.state ?? "active"} /> },
    {
      key: "used",
      head: w("lastUsed"),
      label: w("lastUsed"),
      cell: (c) => {
        const used = usedOf(c);
        if (!used) return <span className="text-ink-3">{w("notYet")}</span>;
        return (
          <>
            <Ago at={used.time} />
            <Sub>{[used.software, used.address && w("from", { address: used.address })].filter(Boolean).join(", ")}</Sub>
          </>
        );
      },
    },
    { key: "expires", head: w("expires"), label: w("expires"), cell: (c) => <Expires of={c} /> },
    {
      key: "do",
      head: w("revoke"),
      actions: true,
      cell: (c) =>
        !ends(c) && (
          <RowMenu name={c.meta.name}>
            {c.spec.type !== "mtls" && <MenuItem icon="refresh" onSelect={() => setRotating(c)}>{w("rotateName", { name: c.meta.name })}</MenuItem>}
            <MenuItem icon="x" danger onSelect={() => setRevoking(c)}>{w("revokeName", { name: c.meta.name })}</MenuItem>
          </RowMenu>
        ),
    },
  ];
  const revoked = revoking?.meta.name ?? "";
  const used = revoking && usedOf(revoking);
  const others = own.filter((c) => c !== revoking && !ends(c)).length;
  const button = <Button size="sm" onClick={() => setMaking(true)}>{w("newCredential")}</Button>;
  return (
    <Section title={w("credentials")} actions={own.length > 0 && button}>
      <Await query={query} what={w("credentials")} card>
        {() => (
          <Card>
            {own.length ? (
              <Table caption={w("credentials")} columns={columns} rows={own} rowKey={(c) => c.meta.name} />
            ) : (
              <Empty icon="key" title={w("noCredentials")} action={button}>
                <p>{w("noCredentialsBody", { environment })}</p>
              </Empty>
            )}
          </Card>
        )}
      </Await>
      {making && <NewCredential name={name} environment={environment} taken={(query.data ?? []).map((c) => c.meta.name)} onClose={() => setMaking(false)} />}
      {rotating && <Rotate credential={rotating} application={name} onClose={() => setRotating(undefined)} />}
      <TakeAway
        open={revoking !== undefined}
        onClose={() => setRevoking(undefined)}
        title={w("revokeTitle", { name: revoked })}
        verb={w("revokeName", { name: revoked })}
        doing={w("revoking")}
        keep={w("keepIt")}
        type={used ? revoked : undefined}
        typeLabel={w("revokeType", { name: revoked })}
        act={async () => {
          await got(api.POST("/v1/credentials/{name}/revoke", { params: { path: { name: revoked } }, body: {} }));
          await again(name);
          toast(w("revoked", { name: revoked }));
        }}
      >
        <p>{w.rich("revokeBody", { application: name, environment, name: revoked, forever: <strong className="font-semibold text-ink">{w("forever")}</strong> })}</p>
        {used && (
          <div className="flex flex-wrap justify-between gap-x-4 rounded-lg border border-line p-4 text-sm">
            <span>{w("revokeUsed")} <Ago at={used.time} /></span>
            <span className="text-ink-3">{[used.software, used.address].filter(Boolean).join(", ")}</span>
          </div>
        )}
        <p className="text-sm">{others ? w("revokeStays", { count: others }) : w("revokeLast", { application: name, environment })}</p>
      </TakeAway>
    </Section>
  );
}
