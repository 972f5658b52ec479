import { useRouter } from "@tanstack/react-router";
import { useState } from "react";
import { api, got } from "../api/client";
import { Button } from "../ui/button";
import { Field, Input } from "../ui/field";
import { toast } from "../ui/toast";
import { w } from "../words/account";
import { FormError, FormPage, useForm } from "./form";

/** For whoever was invited, or lost a password. The token may stand behind the #, which browsers send to nobody. */
export default function SetPassword() {
  const router = useRouter();
  const [token, setToken] = useState(() => decodeURIComponent(location.hash.slice(1)));
  const [password, setPassword] = useState("");
  const form = useForm(async () => {
    await got(api.POST("/v1/password", { body: { token: token.trim(), password } }));
    await router.navigate({ to: "/login" });
    toast(w("passwordSet"));
  });
  return (
    <FormPage title={w("setPasswordTitle")} lead={w("setPasswordLead")}>
      <form onSubmit={form.onSubmit} className="grid gap-4">
        <FormError error={form.error} />
        <Field label={w("token")}>
          <Input mono autoComplete="off" spellCheck={false} required value={token} onChange={(e) => setToken(e.target.value)} />
        </Field>
        <Field label={w("newPassword")} hint={w("passwordHint")}>
          <Input type="password" autoComplete="new-password" required minLength={12} value={password} onChange={(e) => setPassword(e.target.value)} />
        </Field>
        <Button kind="primary" type="submit" busy={form.busy && w("settingPassword")}>{w("setPassword")}</Button>
      </form>
    </FormPage>
  );
}
