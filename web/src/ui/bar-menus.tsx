// What opens from the buttons of the bar; loaded when it is needed.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useRouter } from "@tanstack/react-router";
import type { ReactElement } from "react";
import { isConsolePerson } from "../account/me";
import { api, got } from "../api/client";
import { forget, meQuery } from "../api/queries";
import { w } from "../words/shell";
import { nav, themeWords } from "./bar";
import { Icon } from "./icon";
import { Menu, MenuChoice, MenuItem, MenuLine, MenuLink, MenuNote } from "./menu";
import { setTheme, useTheme, type Theme } from "./theme";
import { toast } from "./toast";

interface Props {
  trigger: ReactElement;
  login: string;
  inConsole: boolean;
}

/** Ends the login, forgets what it saw, and goes home. */
export function useLogOut() {
  const router = useRouter();
  return useMutation({
    mutationFn: () => got(api.POST("/v1/logout", {})),
    onSuccess: async () => {
      await router.navigate({ to: "/" });
      await forget();
      toast(w("loggedOut"));
    },
  });
}

export function ThemeChoice({ trigger }: Props) {
  const { theme } = useTheme();
  return (
    <Menu label={w("theme")} trigger={trigger} defaultOpen>
      <MenuChoice
        label={w("theme")}
        value={theme}
        onChange={(to) => setTheme(to as Theme)}
        options={[
          { value: "system", label: w(themeWords.system), icon: "screen" },
          { value: "light", label: w(themeWords.light), icon: "sun" },
          { value: "dark", label: w(themeWords.dark), icon: "moon" },
        ]}
      />
    </Menu>
  );
}

export function AccountChoice({ trigger, login, inConsole }: Props) {
  const logOut = useLogOut();
  const me = useQuery(meQuery);
  return (
    <Menu label={w("account")} trigger={trigger} defaultOpen>
      <MenuNote>{login}</MenuNote>
      <MenuLine />
      <MenuLink>
        <Link to="/account">
          <Icon name="gear" className="text-ink-3" />
          {w("account")}
        </Link>
      </MenuLink>
      {(inConsole || isConsolePerson(me.data)) && (
        <MenuLink>
          <Link to={inConsole ? "/" : "/console"}>
            <Icon name="screen" className="text-ink-3" />
            {inConsole ? w("portal") : w("console")}
          </Link>
        </MenuLink>
      )}
      <MenuLine />
      <MenuItem icon="out" onSelect={() => logOut.mutate()}>
        {w("logOut")}
      </MenuItem>
    </Menu>
  );
}

export function Places({ trigger }: Props) {
  return (
    <Menu label={w("navigation")} trigger={trigger} defaultOpen>
      {nav.map((n) => (
        <MenuLink key={n.to}>
          <Link to={n.to}>{n.label}</Link>
        </MenuLink>
      ))}
    </Menu>
  );
}
