import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { w } from "../words/browse";
import { StateBadge } from "./badge";
import { Glyph } from "./glyph";
import { Icon, type IconName } from "./icon";
import { rate } from "./numbers";
import { Sparkline } from "./sparkline";
import { Freshness, date } from "./time";

type ApiCard = Schemas["CatalogCard"];
type Activity = Schemas["Activity"];

/** The number of a version as it is said beside its API: v2. */
export const majorOf = (version: string) => version.slice(version.lastIndexOf(".") + 1);

/** Where a version's page is. */
export const toVersion = (card: { api: string; version: string }) => ({ to: "/apis/$name", params: { name: card.api }, search: { version: majorOf(card.version) } }) as const;

/** What may be done with topics. */
export const rights = (of: { read: boolean; write: boolean }) => (of.read && of.write ? w("readAndWrite") : of.write ? w("write") : of.read ? w("read") : "");

// Pages ask every 15 s, and servers look every 5 s: what is younger than that says nothing.
const leastGap = 10;

/** How many seconds lie between two records as a rule, by the last day. */
function usualGap(activity: Activity): number | undefined {
  const known = activity.points.filter((p) => p !== null);
  const mean = known.reduce((sum, p) => sum + p, 0) / Math.max(1, known.length);
  return mean > 0 ? Math.max(leastGap, 1 / mean) : undefined;
}

/** How much flows now: 38 records/s. */
export const rateNow = (activity: Activity | undefined) => (activity?.rate === undefined ? w("notMeasured") : rate(activity.rate));

/** "last event 3 s ago", amber when that is late. */
export function Fresh({ activity }: { activity: Activity }) {
  const gap = usualGap(activity);
  return <Freshness at={activity.lastEvent} {...(gap !== undefined && { usualGap: gap })} />;
}

function Fact({ icon, children }: { icon: IconName; children: React.ReactNode }) {
  return (
    <li className="inline-flex items-center gap-[0.3125rem]">
      <Icon name={icon} className="size-[13px]" />
      <span>{children}</span>
    </li>
  );
}

/** What a version that ends, or has ended, says before all else. */
function ending(card: ApiCard): string {
  if (!card.sunset) return "";
  const when = date(new Date(card.sunset).getTime());
  return [w(card.state === "retired" ? "retiredOn" : "sunset", { date: when }), card.successor && w("successor", { version: card.successor })].filter(Boolean).join(" ");
}

const silence: readonly number[] = Array.from({ length: 48 }, () => 0);
const known = (points: readonly (number | null)[] | undefined) => (points?.some((p) => p !== null) ? points : silence);

/** A version of an API at a glance; all of it leads there. */
export function ApiCard({ card, level = 2 }: { card: ApiCard; level?: 2 | 3 }) {
  const Title = `h${level}` as "h2" | "h3";
  const { activity } = card;
  const now = rateNow(activity);
  return (
    <article className="relative grid min-w-0 content-start gap-3 rounded-lg border border-line bg-raised px-5 pt-4 pb-3 transition-[border-color,box-shadow] hover:border-line-control hover:shadow-2">
      <div className="flex items-center gap-2">
        <Glyph icon={card.icon} />
        <div className="min-w-0 flex-1">
          <div className="flex items-center justify-between gap-3">
            <Title className="min-w-0 text-lg leading-6 tracking-[-0.006em] [overflow-wrap:anywhere]">
              <Link {...toVersion(card)} className="text-ink after:absolute after:inset-0 after:rounded-lg hover:no-underline">
                {card.title}
              </Link>
            </Title>
            <StateBadge state={card.state} />
          </div>
          <span className="block truncate font-mono text-xs text-ink-3">{card.version}</span>
        </div>
      </div>
      <p className="line-clamp-2 min-h-10 text-sm text-ink-2">{[ending(card), card.summary].filter(Boolean).join(" ")}</p>
      <Sparkline points={known(activity?.points)} label={activity ? w("volume", { rate: now }) : w("noVolume")} left={now} right={w("rateLast")} />
      <ul className="flex flex-wrap gap-x-3.5 gap-y-1 text-xs text-ink-3">
        {rights(card) && <Fact icon="open">{rights(card)}</Fact>}
        {card.formats.length > 0 && <Fact icon="field">{card.formats.join(", ")}</Fact>}
        {card.team && <Fact icon="people">{card.team}</Fact>}
        {card.subscribed && <Fact icon="check">{w("subscribed")}</Fact>}
        {activity && (
          <Fact icon="deprecated">
            <Fresh activity={activity} />
          </Fact>
        )}
      </ul>
    </article>
  );
}
