import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, got, type Schemas } from "../api/client";
import { meQuery, queryClient } from "../api/queries";
import { Tag } from "../ui/badge";
import { Button } from "../ui/button";
import { Card, Section } from "../ui/card";
import { CopyLine } from "../ui/copy";
import { Dialog, TakeAway } from "../ui/dialog";
import { Check, Field, Input, Select } from "../ui/field";
import { MenuItem, RowMenu } from "../ui/menu";
import { Secret } from "../ui/secret";
import { Await, Empty, NotAllowed } from "../ui/states";
import { Table, type Column } from "../ui/table";
import { Ago } from "../ui/time";
import { toast } from "../ui/toast";
import { w } from "../words/account";
import { w as units } from "../words/units";
import { FormError, useForm } from "./form";
import { AccountFrame } from "./frame";
import { nameOf } from "./me";

type Token = Schemas["Token"];

const again = () => queryClient.invalidateQueries({ queryKey: ["tokens"] });
const lives = [7, 30, 90];

/** Makes a token; it is shown here, and nowhere after. */
function NewToken({ onClose, me }: { onClose: () => void; me: Schemas["Me"] }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState(30);
  const [readOnly, setReadOnly] = useState(false);
  const [made, setMade] = useState<Token>();
  const form = useForm(async () => {
    setMade(
      await got(
        api.POST("/v1/tokens", {
          body: { name: name.trim(), life: `${days * 24}h`, ...(readOnly && { readOnly }), ...(me.platformAdmin && { platform: true }), ...(me.roles && { roles: me.roles }) },
        }),
      ),
    );
    await again();
  });
  if (made) {
    return (
      <Dialog open onClose={onClose} title={w("tokenTitle", { name: made.name })} actions={<Button kind="primary" onClick={onClose}>{w("done")}</Button>}>
        <Secret value={made.token ?? ""} what={w("token")} />
        <p className="text-sm text-ink-2">{w("tokenUse")}</p>
        <CopyLine text={`curl -H 'Authorization: Bearer ${made.token ?? ""}' ${location.origin}/v1/me`} shown={`curl -H 'Authorization: Bearer …' ${location.origin}/v1/me`} what="curl" />
      </Dialog>
    );
  }
  return (
    <Dialog
      open
      onClose={onClose}
      title={w("newToken")}
      onSubmit={form.submit}
      actions={
        <>
          <Button onClick={onClose}>{w("cancel")}</Button>
          <Button kind="primary" type="submit" busy={form.busy && w("making")}>{w("makeToken")}</Button>
        </>
      }
    >
      <FormError error={form.error} />
      <Field label={w("tokenName")} hint={w("tokenNameHint")}>
        <Input required maxLength={128} value={name} onChange={(e) => setName(e.target.value)} />
      </Field>
      <Field label={w("tokenLife")}>
        <Select value={days} onChange={(e) => setDays(Number(e.target.value))}>
          {lives.map((d) => <option key={d} value={d}>{w("days", { count: d })}</option>)}
        </Select>
      </Field>
      <Check checked={readOnly} onChange={(e) => setReadOnly(e.target.checked)}>{w("readOnly")}</Check>
    </Dialog>
  );
}

export default function TokensPage() {
  const me = useQuery(meQuery);
  const login = nameOf(me.data);
  const tokens = useQuery({ queryKey: ["tokens"], queryFn: ({ signal }) => got(api.GET("/v1/tokens", { signal })), enabled: Boolean(login) });
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token>();
  if (me.data && !login) return <NotAllowed login="" />;
  const columns: readonly Column<Token>[] = [
    { key: "name", head: w("tokenName"), cell: (t) => <span className="font-semibold">{t.name}</span> },
    { key: "may", head: w("tokenRights"), label: w("tokenRights"), cell: (t) => (t.readOnly ? w("tokenReading") : w("tokenAll")) },
    { key: "used", head: w("lastUsed"), label: w("lastUsed"), cell: (t) => (t.used ? <Ago at={t.used} /> : <span className="text-ink-3">{units("noneYet")}</span>) },
    { key: "ends", head: w("expires"), label: w("expires"), cell: (t) => (Date.parse(t.expires) < Date.now() ? <Tag>{w("tokenEnded")}</Tag> : <Ago at={t.expires} />) },
    {
      key: "do",
      head: w("revoke"),
      actions: true,
      cell: (t) => (
        <RowMenu name={t.name}>
          <MenuItem icon="x" danger onSelect={() => setRevoking(t)}>{w("revokeToken", { name: t.name })}</MenuItem>
        </RowMenu>
      ),
    },
  ];
  const button = <Button size="sm" kind="primary" onClick={() => setMaking(true)}>{w("newToken")}</Button>;
  return (
    <AccountFrame title={w("tokens")}>
      <Section title={w("tokens")} actions={Boolean(tokens.data?.items?.length) && button}>
        <p className="text-ink-2">{w("tokensLead")}</p>
        <Await query={tokens} what={w("tokens")} card>
          {(data) => (
            <Card>
              {data.items?.length ? (
                <Table caption={w("tokens")} columns={columns} rows={data.items} rowKey={(t) => t.id} />
              ) : (
                <Empty icon="key" title={w("noTokens")} action={button}>
                  <p>{w("noTokensBody")}</p>
                </Empty>
              )}
            </Card>
          )}
        </Await>
      </Section>
      {making && me.data && <NewToken me={me.data} onClose={() => setMaking(false)} />}
      <TakeAway
        open={revoking !== undefined}
        onClose={() => setRevoking(undefined)}
        title={w("revokeTokenTitle", { name: revoking?.name ?? "" })}
        verb={w("revokeToken", { name: revoking?.name ?? "" })}
        doing={w("revoking")}
        keep={w("keepIt")}
        act={async () => {
          if (!revoking) return;
          await got(api.DELETE("/v1/tokens/{id}", { params: { path: { id: revoking.id } } }));
          await again();
          toast(w("tokenRevoked", { name: revoking.name }));
        }}
      >
        <p>{w("revokeTokenBody")}</p>
      </TakeAway>
    </AccountFrame>
  );
}
