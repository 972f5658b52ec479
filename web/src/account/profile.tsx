import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, got, type Schemas } from "../api/client";
import { meQuery, queryClient } from "../api/queries";
import { Banner } from "../ui/banner";
import { Button, buttonClass } from "../ui/button";
import { Card, Section } from "../ui/card";
import { CopyLine } from "../ui/copy";
import { TakeAway } from "../ui/dialog";
import { Facts } from "../ui/facts";
import { Choice, Field, Input } from "../ui/field";
import { Icon } from "../ui/icon";
import { Await, NotAllowed } from "../ui/states";
import { setTheme, useTheme, type Theme } from "../ui/theme";
import { Ago } from "../ui/time";
import { toast } from "../ui/toast";
import { w } from "../words/account";
import { w as shell } from "../words/shell";
import { FormError, useForm } from "./form";
import { AccountFrame } from "./frame";
import { nameOf } from "./me";

type Account = Schemas["Account"];

const accountQuery = (login: string) => ({ queryKey: ["account", login], queryFn: ({ signal }: { signal: AbortSignal }) => got(api.GET("/v1/people/{login}", { params: { path: { login } }, signal })) });
const again = () => queryClient.invalidateQueries({ queryKey: ["account"] });

function roleWords(r: Schemas["MyRole"]) {
  return r.team ? w("roleInTeam", { role: r.role, team: r.team }) : w("roleInOrganisation", { role: r.role, organisation: r.organisation });
}

function ThemeSection() {
  const { theme } = useTheme();
  return (
    <Section title={w("theme")}>
      <p className="text-ink-2">{w("themeLead")}</p>
      <Choice<Theme>
        label={w("theme")}
        value={theme}
        onChange={setTheme}
        className="justify-self-start"
        options={[
          { value: "system", label: <><Icon name="screen" />{shell("themeSystem")}</> },
          { value: "light", label: <><Icon name="sun" />{shell("themeLight")}</> },
          { value: "dark", label: <><Icon name="moon" />{shell("themeDark")}</> },
        ]}
      />
    </Section>
  );
}

function PasswordSection({ account }: { account: Account }) {
  const [old, setOld] = useState("");
  const [code, setCode] = useState("");
  const [password, setPassword] = useState("");
  const form = useForm(async () => {
    await got(api.POST("/v1/me/password", { body: { old, password, ...(code && { code }) } }));
    setOld("");
    setCode("");
    setPassword("");
    toast(w("passwordChanged"));
  });
  return (
    <Section title={w("changePassword")}>
      <p className="text-ink-2">{w("changePasswordLead")}</p>
      <Card pad>
        <form onSubmit={form.onSubmit} className="grid max-w-form gap-4">
          <FormError error={form.error} />
          <input type="text" autoComplete="username" value={account.login} readOnly hidden />
          <Field label={w("oldPassword")}>
            <Input type="password" autoComplete="current-password" required value={old} onChange={(e) => setOld(e.target.value)} />
          </Field>
          {account.secondFactor && <CodeField value={code} onChange={setCode} />}
          <Field label={w("newPassword")} hint={w("passwordHint")}>
            <Input type="password" autoComplete="new-password" required minLength={12} value={password} onChange={(e) => setPassword(e.target.value)} />
          </Field>
          <div>
            <Button type="submit" busy={form.busy && w("changing")}>{w("changePassword")}</Button>
          </div>
        </form>
      </Card>
    </Section>
  );
}

function CodeField({ value, onChange }: { value: string; onChange: (to: string) => void }) {
  return (
    <Field label={w("code")} hint={w("codeHint")}>
      <Input mono autoComplete="one-time-code" spellCheck={false} required value={value} onChange={(e) => onChange(e.target.value)} />
    </Field>
  );
}

function Recovery({ codes, onDone }: { codes: readonly string[]; onDone: () => void }) {
  return (
    <div className="grid gap-3">
      <Banner kind="warning" icon="alert" title={w("recoveryTitle")}>{w("recoveryLead")}</Banner>
      <ul className="grid gap-1 font-mono text-sm wide:grid-cols-2">
        {codes.map((c) => <li key={c}>{c}</li>)}
      </ul>
      <CopyLine text={codes.join("\n")} what={w("recoveryTitle")} shown={`${codes[0] ?? ""} …`} />
      <div>
        <Button kind="primary" onClick={onDone}>{w("done")}</Button>
      </div>
    </div>
  );
}

/** Setting an authenticator up: the password, then the key and the first code. */
function SetUp({ onCodes }: { onCodes: (codes: readonly string[]) => void }) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [key, setKey] = useState<Schemas["SecondFactor"]>();
  const form = useForm(async () => {
    if (!key) setKey(await got(api.POST("/v1/me/second-factor", { body: { password } })));
    else onCodes((await got(api.POST("/v1/me/second-factor/confirm", { body: { code } }))).codes ?? []);
  });
  return (
    <form onSubmit={form.onSubmit} className="grid max-w-form gap-4">
      <FormError error={form.error} />
      {key ? (
        <>
          <p className="text-sm text-ink-2">{w("setUpKey")}</p>
          <CopyLine text={key.key} what={w("setUp")} />
          <a href={key.uri} className={`${buttonClass("plain", "sm")} justify-self-start`}>{w("openAuthenticator")}</a>
          <Field label={w("confirmCode")}>
            <Input mono autoComplete="one-time-code" inputMode="numeric" required value={code} onChange={(e) => setCode(e.target.value)} />
          </Field>
        </>
      ) : (
        <Field label={w("password")}>
          <Input type="password" autoComplete="current-password" required value={password} onChange={(e) => setPassword(e.target.value)} />
        </Field>
      )}
      <div>
        <Button type="submit" busy={form.busy && (key ? w("confirming") : w("settingUp"))}>{key ? w("confirm") : w("setUp")}</Button>
      </div>
    </form>
  );
}

function SecondFactorSection({ account }: { account: Account }) {
  const [codes, setCodes] = useState<readonly string[]>();
  const [removing, setRemoving] = useState(false);
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const renew = useForm(async () => {
    setCodes((await got(api.POST("/v1/me/recovery-codes", { body: { password, code } }))).codes ?? []);
    setPassword("");
    setCode("");
  });
  const proof = (
    <>
      <Field label={w("password")}>
        <Input type="password" autoComplete="current-password" required value={password} onChange={(e) => setPassword(e.target.value)} />
      </Field>
      <CodeField value={code} onChange={setCode} />
    </>
  );
  return (
    <Section title={w("secondFactor")}>
      <p className="text-ink-2">{account.secondFactor ? w("secondFactorOn") : w("secondFactorOff")}</p>
      <Card pad>
        {codes ? (
          <Recovery codes={codes} onDone={() => { setCodes(undefined); void again(); }} />
        ) : account.secondFactor ? (
          <form onSubmit={renew.onSubmit} className="grid max-w-form gap-4">
            <FormError error={renew.error} />
            {!removing && proof}
            <div className="flex flex-wrap gap-2">
              <Button type="submit" busy={renew.busy && w("renewing")}>{w("renewCodes")}</Button>
              <Button kind="quiet" onClick={() => setRemoving(true)}>{w("removeFactor")}</Button>
            </div>
          </form>
        ) : (
          <SetUp onCodes={setCodes} />
        )}
      </Card>
      <TakeAway
        open={removing}
        onClose={() => setRemoving(false)}
        title={w("removeTitle")}
        verb={w("removeFactor")}
        doing={w("removing")}
        keep={w("keepIt")}
        act={async () => {
          await got(api.POST("/v1/me/second-factor/remove", { body: { password, code } }));
          await again();
        }}
      >
        <p>{w("removeBody")}</p>
        {proof}
      </TakeAway>
    </Section>
  );
}

function Profile({ account }: { account: Account }) {
  const roles = [...(account.platformAdmin ? [w("platformAdmin")] : []), ...(account.roles ?? []).map(roleWords)];
  return (
    <div className="grid grid-cols-1 gap-8">
      <Card pad>
        <Facts
          facts={[
            [w("login"), account.login],
            ...(account.title ? ([[w("yourName"), account.title]] as const) : []),
            [w("provider"), account.provider ?? w("here")],
            [w("roles"), roles.length ? <ul>{roles.map((r) => <li key={r}>{r}</li>)}</ul> : w("noRoles")],
            [w("since"), <Ago key="since" at={account.created} />],
          ]}
        />
      </Card>
      <ThemeSection />
      {account.hasPassword && <PasswordSection account={account} />}
      {account.hasPassword && <SecondFactorSection account={account} />}
    </div>
  );
}

export default function AccountPage() {
  const me = useQuery(meQuery);
  const login = nameOf(me.data);
  const account = useQuery({ ...accountQuery(login), enabled: Boolean(login) });
  if (me.data && !login) return <NotAllowed login="" />;
  return (
    <AccountFrame title={w("account")}>
      <Await query={account} what={w("what")} card>
        {(a) => <Profile account={a} />}
      </Await>
    </AccountFrame>
  );
}
