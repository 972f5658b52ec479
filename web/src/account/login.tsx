import { useQuery } from "@tanstack/react-query";
import { Link, useRouter, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { Problem, api, got } from "../api/client";
import { forget, loginMethodsQuery } from "../api/queries";
import { Button, buttonClass } from "../ui/button";
import { Field, Input } from "../ui/field";
import { Await } from "../ui/states";
import { w } from "../words/account";
import { FormError, FormPage, useForm } from "./form";

/** A path of this portal to come back to, whatever the address says. */
export function pathOf(back: string | undefined): string {
  if (!back) return "/";
  const url = new URL(back, location.origin);
  return back.startsWith("/") && url.origin === location.origin ? url.pathname + url.search + url.hash : "/";
}

const codeNeeded = "urn:sluice:problem:code-needed";

/** Forgets what nobody, or somebody else, saw, and goes on. */
export function useEnter() {
  const router = useRouter();
  const search = useSearch({ strict: false });
  return async () => {
    await forget();
    await router.navigate({ href: pathOf(search["return"]) });
  };
}

export default function LogIn() {
  const methods = useQuery(loginMethodsQuery);
  const search = useSearch({ strict: false });
  const enter = useEnter();
  const [login, setLogin] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [asked, setAsked] = useState(false);
  const form = useForm(async () => {
    try {
      await got(api.POST("/v1/login", { params: { header: { "Sluice-Cookie": "yes" } }, body: { login: login.trim(), password, ...(asked && { code: code.trim() }) } }));
    } catch (e) {
      if (e instanceof Problem && e.type === codeNeeded && !asked) {
        setAsked(true);
        return;
      }
      throw e;
    }
    await enter();
  });
  const back = search["return"] ? { return: search["return"] } : {};
  if (asked) {
    return (
      <FormPage title={w("codeTitle")} lead={w("codeLead", { login: login.trim() })} foot={<button type="button" className="text-accent-text underline underline-offset-3" onClick={() => { setAsked(false); setPassword(""); setCode(""); form.setError(undefined); }}>{w("otherAccount")}</button>}>
        <form onSubmit={form.onSubmit} className="grid gap-4">
          <FormError error={form.error} />
          <Field label={w("code")} hint={w("codeHint")}>
            {/* oxlint-disable-next-line jsx-a11y/no-autofocus -- the one thing that this step asks for */}
            <Input mono autoFocus autoComplete="one-time-code" spellCheck={false} value={code} onChange={(e) => setCode(e.target.value)} />
          </Field>
          <Button kind="primary" type="submit" busy={form.busy && w("loggingIn")}>{w("logIn")}</Button>
        </form>
      </FormPage>
    );
  }
  return (
    <FormPage
      title={w("logIn")}
      foot={
        methods.data?.signUp && (
          <>
            {w("noAccount")}{" "}
            <Link to="/signup" search={back} className="underline underline-offset-3">{w("signUp")}</Link>
          </>
        )
      }
    >
      <Await query={methods} what={w("logIn")} rows={4}>
        {(m) => (
          <div className="grid gap-4">
            {m.providers?.map((p) => (
              <a key={p} href={`/v1/login/oidc/start?${new URLSearchParams({ provider: p, return: pathOf(search["return"]) })}`} className={buttonClass(m.passwords === "nobody" ? "primary" : "plain")}>
                {w("withProvider", { provider: p })}
              </a>
            ))}
            {Boolean(m.providers?.length) && m.passwords !== "nobody" && (
              <div className="flex items-center gap-3 text-xs text-ink-3 before:h-px before:flex-1 before:bg-line after:h-px after:flex-1 after:bg-line">{m.passwords === "everybody" ? w("or") : w("adminPasswords")}</div>
            )}
            {m.passwords === "nobody" ? (
              <p className="text-sm text-ink-3">{w("noPasswords")}</p>
            ) : (
              <form onSubmit={form.onSubmit} className="grid gap-4">
                <FormError error={form.error} />
                <Field label={w("login")}>
                  <Input name="login" autoComplete="username" autoCapitalize="none" spellCheck={false} required value={login} onChange={(e) => setLogin(e.target.value)} />
                </Field>
                <Field label={w("password")}>
                  <Input name="password" type="password" autoComplete="current-password" required value={password} onChange={(e) => setPassword(e.target.value)} />
                </Field>
                <Button kind="primary" type="submit" busy={form.busy && w("loggingIn")}>{w("logIn")}</Button>
              </form>
            )}
          </div>
        )}
      </Await>
    </FormPage>
  );
}
