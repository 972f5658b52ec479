import type { ReactNode } from "react";
import { LinkTabs } from "../ui/tabs";
import { PageHead } from "../ui/page";
import { w } from "../words/account";

/** The pages of one's own account. */
export function AccountFrame({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="mx-auto max-w-result">
      <PageHead title={title} heading={w("account")} />
      <LinkTabs
        label={w("tabs")}
        tabs={[
          { link: { to: "/account" }, label: w("profile") },
          { link: { to: "/account/logins" }, label: w("logins") },
          { link: { to: "/account/keys" }, label: w("tokens") },
        ]}
      />
      <div className="mt-6 grid grid-cols-1 gap-8">{children}</div>
    </div>
  );
}
