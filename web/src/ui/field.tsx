import { createContext, useContext, useId, type InputHTMLAttributes, type ReactNode, type Ref, type SelectHTMLAttributes, type TextareaHTMLAttributes } from "react";
import { w } from "../words/shell";
import { Icon } from "./icon";

interface Control {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": true | undefined;
  required: boolean | undefined;
}
const FieldControl = createContext<Control | undefined>(undefined);

/** A control with its label above, and hint and error below. */
export function Field({ label, hint, error, required, children, className = "" }: { label: ReactNode; hint?: ReactNode; error?: ReactNode; required?: boolean; children: ReactNode; className?: string }) {
  const id = useId();
  const control: Control = {
    id,
    "aria-describedby": [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined,
    "aria-invalid": error ? true : undefined,
    required: required || undefined,
  };
  return (
    <div className={`grid gap-[0.3125rem] ${className}`}>
      <label htmlFor={id} className="text-sm font-semibold">
        {label}
        {required && <span className="ml-1.5 font-normal text-ink-3">{w("required")}</span>}
      </label>
      <FieldControl value={control}>{children}</FieldControl>
      {hint && <p id={`${id}-hint`} className="text-xs text-ink-3">{hint}</p>}
      {error && (
        <p id={`${id}-error`} className="flex items-start gap-1 text-xs text-bad">
          <Icon name="alert" className="size-3.5 mt-px" />
          {error}
        </p>
      )}
    </div>
  );
}

const control = "w-full rounded-md border border-line-control bg-bg focus:outline-2 focus:-outline-offset-1 focus:outline-focus aria-invalid:border-bad-mark disabled:bg-sunken disabled:text-ink-3";

type Size = "sm" | "md" | "lg";
const heights: Record<Size, string> = { sm: "h-8 px-[0.5625rem] text-sm", md: "h-9 px-[0.6875rem] text-md", lg: "h-11 px-3.5 text-h3 rounded-[8px]" };

export function Input({ look = "md", mono, className = "", ...rest }: InputHTMLAttributes<HTMLInputElement> & { look?: Size; mono?: boolean; ref?: Ref<HTMLInputElement> }) {
  return <input {...useContext(FieldControl)} className={`${control} ${heights[look]} ${mono ? "font-mono text-sm" : ""} ${className}`} {...rest} />;
}

/** The system's own list: it opens well on a telephone, and for readers of screens. */
export function Select({ look = "md", className = "", children, ...rest }: SelectHTMLAttributes<HTMLSelectElement> & { look?: Size; ref?: Ref<HTMLSelectElement> }) {
  return (
    <select {...useContext(FieldControl)} className={`select ${control} ${heights[look]} pr-8 ${className}`} {...rest}>
      {children}
    </select>
  );
}

export function TextArea({ className = "", mono, ...rest }: TextareaHTMLAttributes<HTMLTextAreaElement> & { mono?: boolean; ref?: Ref<HTMLTextAreaElement> }) {
  return <textarea {...useContext(FieldControl)} className={`${control} min-h-20 resize-y px-[0.6875rem] py-2 text-md ${mono ? "font-mono text-sm" : ""} ${className}`} {...rest} />;
}

export function Check({ children, className = "", ...rest }: InputHTMLAttributes<HTMLInputElement> & { ref?: Ref<HTMLInputElement> }) {
  return (
    <label className={`flex min-h-7 cursor-pointer items-center gap-2 text-sm ${className}`}>
      <input type="checkbox" className="m-0 size-4 flex-none accent-accent" {...rest} />
      <span className="min-w-0 flex-1">{children}</span>
    </label>
  );
}

/** One of a few, side by side. */
export function Choice<T extends string>({ label, value, options, onChange, className = "" }: { label: string; value: T; options: readonly { value: T; label: ReactNode }[]; onChange: (value: T) => void; className?: string }) {
  const name = useId();
  return (
    <fieldset className={`inline-flex max-w-full min-w-0 overflow-x-auto rounded-md bg-mute-soft p-0.5 ${className}`}>
      <legend className="sr-only">{label}</legend>
      {options.map((o) => (
        <label key={o.value} className="relative cursor-pointer rounded-sm has-checked:bg-active has-checked:shadow-1 has-focus-visible:outline-2 has-focus-visible:outline-focus">
          <input type="radio" name={name} value={o.value} checked={o.value === value} onChange={() => onChange(o.value)} className="peer absolute inset-0 opacity-0" />
          <span className="flex h-7 items-center gap-1.5 px-[0.6875rem] text-sm whitespace-nowrap text-ink-2 peer-checked:font-semibold peer-checked:text-ink">{o.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** An input with a glass; its name is `label`. */
export function SearchInput({ label, look = "md", className = "", ...rest }: InputHTMLAttributes<HTMLInputElement> & { label: string; look?: Size; ref?: Ref<HTMLInputElement> }) {
  return (
    <div className={`relative ${className}`}>
      <Icon name="search" className={`pointer-events-none absolute top-1/2 -translate-y-1/2 text-ink-3 ${look === "lg" ? "left-3.5" : "left-3"}`} />
      <input type="search" aria-label={label} className={`${control} ${heights[look]} ${look === "lg" ? "pl-10" : "pl-9"}`} {...rest} />
    </div>
  );
}
