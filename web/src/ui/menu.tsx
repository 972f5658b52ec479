import { DropdownMenu } from "radix-ui";
import type { ReactNode } from "react";
import { w } from "../words/shell";
import { IconButton } from "./button";
import { Icon, type IconName } from "./icon";

const item = "flex min-h-8 w-full cursor-pointer items-center gap-2.5 rounded-[4px] px-2.5 py-1.5 text-sm text-ink outline-none data-highlighted:bg-hover data-disabled:cursor-not-allowed data-disabled:text-ink-3 hover:no-underline";

/** What opens from a button. `children` are MenuItems. */
export function Menu({ trigger, children, align = "end", label, defaultOpen = false }: { trigger: ReactNode; children: ReactNode; align?: "start" | "end"; label?: string; defaultOpen?: boolean }) {
  return (
    // Neither modal nor at the end of the page: readers of screens keep the landmarks around it.
    <DropdownMenu.Root defaultOpen={defaultOpen} modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Content align={align} sideOffset={6} collisionPadding={8} aria-label={label} className="z-40 max-h-(--radix-dropdown-menu-content-available-height) min-w-44 animate-rise text-left font-normal overflow-y-auto rounded-lg border border-line bg-raised p-1 shadow-2">
        {children}
      </DropdownMenu.Content>
    </DropdownMenu.Root>
  );
}

/** The one menu of a row. */
export function RowMenu({ name, children }: { name: string; children: ReactNode }) {
  return <Menu trigger={<IconButton icon="more" label={w("actionsFor", { name })} />}>{children}</Menu>;
}

export function MenuItem({ icon, children, danger, onSelect, disabled }: { icon?: IconName; children: ReactNode; danger?: boolean; onSelect: () => void; disabled?: boolean }) {
  return (
    <DropdownMenu.Item className={`${item} ${danger ? "text-bad" : ""}`} onSelect={onSelect} disabled={disabled ?? false}>
      {icon && <Icon name={icon} className={danger ? "" : "text-ink-3"} />}
      {children}
    </DropdownMenu.Item>
  );
}

/** A link in a menu; `children` is the link. */
export function MenuLink({ children }: { children: ReactNode }) {
  return (
    <DropdownMenu.Item asChild className={item}>
      {children}
    </DropdownMenu.Item>
  );
}

export function MenuChoice({ value, options, onChange, label }: { label: string; value: string; options: readonly { value: string; label: ReactNode; icon?: IconName }[]; onChange: (value: string) => void }) {
  return (
    <DropdownMenu.RadioGroup value={value} onValueChange={onChange} aria-label={label}>
      {options.map((o) => (
        <DropdownMenu.RadioItem key={o.value} value={o.value} className={item}>
          {o.icon && <Icon name={o.icon} className="text-ink-3" />}
          <span className="flex-1">{o.label}</span>
          <DropdownMenu.ItemIndicator>
            <Icon name="check" className="text-accent-text" />
          </DropdownMenu.ItemIndicator>
        </DropdownMenu.RadioItem>
      ))}
    </DropdownMenu.RadioGroup>
  );
}

export function MenuNote({ children }: { children: ReactNode }) {
  return <DropdownMenu.Label className="max-w-64 px-2.5 pt-1.5 pb-1 text-xs [overflow-wrap:anywhere] text-ink-3">{children}</DropdownMenu.Label>;
}

export const MenuLine = () => <DropdownMenu.Separator className="my-1 h-px bg-line" />;
