import { useQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { api, got } from "../api/client";
import { loginMethodsQuery } from "../api/queries";
import { Button, ButtonLink } from "../ui/button";
import { Field, Input } from "../ui/field";
import { useTitle } from "../ui/page";
import { Await, Empty } from "../ui/states";
import { toast } from "../ui/toast";
import { w } from "../words/account";
import { FormError, FormPage, useForm } from "./form";
import { useEnter } from "./login";

function Form() {
  const enter = useEnter();
  const [login, setLogin] = useState("");
  const [title, setTitle] = useState("");
  const [password, setPassword] = useState("");
  const form = useForm(async () => {
    const made = await got(api.POST("/v1/signup", { params: { header: { "Sluice-Cookie": "yes" } }, body: { login: login.trim(), password, ...(title.trim() && { title: title.trim() }) } }));
    await enter();
    toast(w("welcome", { login: made.person }));
  });
  return (
    <form onSubmit={form.onSubmit} className="grid gap-4">
      <FormError error={form.error} />
      <Field label={w("login")} hint={w("loginHint")}>
        <Input name="login" autoComplete="username" autoCapitalize="none" spellCheck={false} required maxLength={128} value={login} onChange={(e) => setLogin(e.target.value)} />
      </Field>
      <Field label={w("yourName")} hint={w("yourNameHint")}>
        <Input name="name" autoComplete="name" maxLength={128} value={title} onChange={(e) => setTitle(e.target.value)} />
      </Field>
      <Field label={w("password")} hint={w("passwordHint")}>
        <Input name="password" type="password" autoComplete="new-password" required minLength={12} value={password} onChange={(e) => setPassword(e.target.value)} />
      </Field>
      <Button kind="primary" type="submit" busy={form.busy && w("signingUp")}>{w("signUp")}</Button>
    </form>
  );
}

function Off() {
  useTitle(w("signUp"));
  return (
    <Empty level={1} icon="lock" title={w("signUpOffTitle")} action={<ButtonLink kind="primary" size="sm" to="/login">{w("logIn")}</ButtonLink>}>
      <p>{w("signUpOff")}</p>
    </Empty>
  );
}

export default function SignUp() {
  const methods = useQuery(loginMethodsQuery);
  const search = useSearch({ strict: false });
  return (
    <Await query={methods} what={w("signUp")}>
      {(m) =>
        m.signUp ? (
          <FormPage
            title={w("signUp")}
            lead={w("signUpLead")}
            foot={
              <>
                {w("haveAccount")}{" "}
                <Link to="/login" search={search["return"] ? { return: search["return"] } : {}} className="underline underline-offset-3">{w("logIn")}</Link>
              </>
            }
          >
            <Form />
          </FormPage>
        ) : (
          <Off />
        )
      }
    </Await>
  );
}
