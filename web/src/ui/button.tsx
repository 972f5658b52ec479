import { Link, type LinkProps } from "@tanstack/react-router";
import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";
import { Icon, type IconName } from "./icon";

type Kind = "primary" | "plain" | "quiet" | "danger";
type Size = "sm" | "md" | "lg";

const kinds: Record<Kind, string> = {
  primary: "border-accent bg-accent text-on-accent hover:border-accent-hover hover:bg-accent-hover",
  plain: "border-line-strong bg-raised text-ink hover:bg-hover",
  quiet: "border-transparent bg-transparent text-ink-2 hover:bg-hover hover:text-ink",
  danger: "border-danger bg-danger text-on-danger hover:border-danger-hover hover:bg-danger-hover",
};
const sizes: Record<Size, string> = { sm: "h-8 px-[0.6875rem] text-sm", md: "h-9 px-3.5 text-md", lg: "h-11 px-5 text-h3" };
const shape = "inline-flex items-center justify-center gap-[0.4375rem] rounded-md border font-semibold whitespace-nowrap transition-colors hover:no-underline";
const off = "disabled:border-line-strong disabled:bg-sunken disabled:text-ink-3 aria-disabled:border-line-strong aria-disabled:bg-sunken aria-disabled:text-ink-3";

export const buttonClass = (kind: Kind = "plain", size: Size = "md") => `${shape} ${off} ${kinds[kind]} ${sizes[size]}`;

type Props = ButtonHTMLAttributes<HTMLButtonElement> & {
  kind?: Kind;
  size?: Size;
  icon?: IconName;
  /** What it is doing, as "Revoking…": the button keeps its width and cannot be pressed again. */
  busy?: string | false | undefined;
  ref?: Ref<HTMLButtonElement>;
};

/** A button; one primary per view. */
export function Button({ kind = "plain", size = "md", icon, busy, children, className = "", disabled, type = "button", onClick, ...rest }: Props) {
  return (
    <button type={type} className={`${buttonClass(kind, size)} ${className}`} disabled={disabled} aria-disabled={busy ? true : undefined} onClick={busy ? (e) => e.preventDefault() : onClick} {...rest}>
      {icon && !busy && <Icon name={icon} />}
      {busy ? (
        <span className="grid *:col-start-1 *:row-start-1 *:justify-self-center">
          <span className="invisible" aria-hidden="true">{children}</span>
          <span>{busy}</span>
        </span>
      ) : (
        children
      )}
    </button>
  );
}

/** A link that looks like a button: it goes somewhere and does nothing. */
export function ButtonLink({ kind = "plain", size = "md", icon, children, className = "", ...rest }: LinkProps & { kind?: Kind; size?: Size; icon?: IconName; className?: string; children?: ReactNode }) {
  return (
    <Link className={`${buttonClass(kind, size)} ${className}`} {...rest}>
      {icon && <Icon name={icon} />}
      {children}
    </Link>
  );
}

/** A drawing alone, with a name that is heard and shown. */
export function IconButton({ icon, label, className = "", small, type = "button", ...rest }: ButtonHTMLAttributes<HTMLButtonElement> & { icon: IconName; label: string; small?: boolean; ref?: Ref<HTMLButtonElement> }) {
  return (
    <button
      type={type}
      aria-label={label}
      title={label}
      className={`${small ? "size-7" : "size-8"} inline-grid flex-none place-items-center rounded-md text-ink-2 transition-colors hover:bg-hover hover:text-ink disabled:text-ink-3 ${className}`}
      {...rest}
    >
      <Icon name={icon} />
    </button>
  );
}
