import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, got, type Schemas } from "../api/client";
import { majorOf } from "../ui/api-card";
import { StateBadge, Tag } from "../ui/badge";
import { Button } from "../ui/button";
import { Card } from "../ui/card";
import { Icon, type IconName } from "../ui/icon";
import { Await, Empty } from "../ui/states";
import { Ago, date } from "../ui/time";
import { w } from "../words/api";
import { useWhich } from "./api";

type Entry = Schemas["ChangelogEntry"];

const signs: Record<Schemas["ChangelogLine"]["kind"], [IconName, string]> = { breaking: ["blocked", "text-bad"], notice: ["info", "text-ink-3"], added: ["plus", "text-good"], removed: ["retired", "text-warn"], changed: ["refresh", "text-ink-3"] };

function One({ entry, api }: { entry: Entry; api: string }) {
  const version = <Link to="/apis/$name" params={{ name: api }} search={{ version: majorOf(entry.version) }}>{entry.version}</Link>;
  return (
    <li className="grid gap-x-6 gap-y-1 border-b border-line px-4 py-3 last:border-0 wide:grid-cols-[10rem_minmax(0,1fr)]">
      <div className="text-sm text-ink-2">
        {date(new Date(entry.time).getTime())}
        <Ago at={entry.time} className="ml-2 text-xs text-ink-3 wide:ml-0 wide:block" />
      </div>
      <div className="min-w-0">
        <div className="flex flex-wrap items-center gap-2">
          <span>
            {entry.kind === "state"
              ? w.rich("became", { version, state: <span className="inline-block align-middle"><StateBadge state={entry.state ?? ""} /></span> })
              : entry.environment
                ? w.rich("revisionIn", { revision: entry.revision ?? "", version, environment: entry.environment })
                : w.rich("revisionOf", { revision: entry.revision ?? "", version })}
          </span>
          {entry.breaks && <Tag>{w("breaksWord")}</Tag>}
        </div>
        {entry.lines && entry.lines.length > 0 && (
          <ul className="mt-1.5 grid gap-1 text-sm text-ink-2">
            {entry.lines.map((l, i) => {
              const [icon, tint] = signs[l.kind];
              return (
                <li key={i} className="flex items-start gap-2">
                  <Icon name={icon} className={`mt-[3px] size-3.5 ${tint}`} />
                  <span className="min-w-0 [overflow-wrap:anywhere]">
                    {l.kind === "breaking" && <span className="sr-only">{w("breaking")}: </span>}
                    {l.text}
                  </span>
                </li>
              );
            })}
            {entry.more ? <li className="pl-6 text-ink-3">{w("moreLines", { count: entry.more })}</li> : null}
          </ul>
        )}
      </div>
    </li>
  );
}

/** What happened to an API, the newest first. */
export default function Changelog() {
  const which = useWhich();
  const log = useInfiniteQuery({
    queryKey: ["api-changelog", which.name],
    queryFn: ({ pageParam, signal }) => got(api.GET("/v1/catalog/{name}/changelog", { params: { path: { name: which.name }, query: { ...(pageParam && { after: pageParam }) } }, signal })),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
  });
  return (
    <Await query={log} what={w("changelog")} card>
      {(data) => {
        const entries = data.pages.flatMap((p) => p.items);
        return (
          <Card>
            <h2 className="sr-only">{w("changelog")}</h2>
            {entries.length === 0 ? (
              <Empty icon="audit" title={w("changelogEmptyTitle")}>
                <p>{w("changelogEmpty")}</p>
              </Empty>
            ) : (
              <ol>
                {entries.map((e, i) => (
                  <One key={i} entry={e} api={which.name} />
                ))}
              </ol>
            )}
            {log.hasNextPage && (
              <div className="border-t border-line p-3 text-center">
                <Button size="sm" busy={log.isFetchingNextPage && w("reading")} onClick={() => void log.fetchNextPage()}>
                  {w("older")}
                </Button>
              </div>
            )}
          </Card>
        );
      }}
    </Await>
  );
}
