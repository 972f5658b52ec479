import type { ReactNode } from "react";
import { Icon, type IconName } from "./icon";

type Kind = "note" | "warning" | "refusal" | "success";
const looks: Record<Kind, [IconName, string, string]> = {
  note: ["info", "bg-accent-soft", "text-accent-text"],
  warning: ["deprecated", "bg-warn-soft", "text-warn"],
  refusal: ["blocked", "bg-bad-soft", "text-bad"],
  success: ["published", "bg-good-soft", "text-good"],
};

/** What must be known before the rest; at most one per page's top, the gravest. `alert` speaks up at once: only for refusals of what the person just did. */
export function Banner({ kind = "note", icon, title, alert, children }: { kind?: Kind; icon?: IconName; title?: ReactNode; alert?: boolean; children?: ReactNode }) {
  const [own, back, tint] = looks[kind];
  return (
    <div role={alert ? "alert" : undefined} className={`prose-links flex items-start gap-3 rounded-lg px-4 py-3 text-md ${back}`}>
      <Icon name={icon ?? own} className={`mt-[3px] ${tint}`} />
      <div className="min-w-0 flex-1 [overflow-wrap:anywhere]">
        {title && <strong className="font-semibold">{title}</strong>} {children}
      </div>
    </div>
  );
}
