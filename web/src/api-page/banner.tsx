import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { majorOf } from "../ui/api-card";
import { Banner } from "../ui/banner";
import { ButtonLink } from "../ui/button";
import { Card } from "../ui/card";
import { Empty } from "../ui/states";
import { date, moment, relative, useNow } from "../ui/time";
import { w } from "../words/api";
import type { ApiPage, Chosen } from "./api";
import { joined } from "./words";

const at = (time: string) => new Date(time).getTime();

/** A link to the version that follows, wherever it is. */
function Successor({ of, children }: { of: NonNullable<Chosen["banner"]>; children: ReactNode }) {
  if (!of.successor || !of.successorApi) return null;
  return <Link to="/apis/$name" params={{ name: of.successorApi }} search={{ version: majorOf(of.successor) }}>{children}</Link>;
}

/** The gravest thing to know of the version that is shown. */
export function StateBanner({ page, chosen }: { page: ApiPage; chosen: Chosen }) {
  const now = useNow();
  const { banner, version } = chosen;
  if (!banner) return null;
  const reason = banner.reason && <> {w("reason", { reason: banner.reason })}</>;
  switch (banner.kind) {
    case "deprecated": {
      const apps = [...new Set((page.mine ?? []).filter((m) => m.versions.includes(version) && m.state === "active").map((m) => m.application))];
      const dark = banner.brownouts ?? [];
      const next = dark[0];
      const here = banner.successorApi === page.api;
      return (
        <Banner kind="warning" title={banner.sunset ? w("deprecatedTitle", { version, date: date(at(banner.sunset)), in: relative(at(banner.sunset), now) }) : w("deprecatedNoSunset", { version })}>
          {apps.length > 0 && <>{w("yours", { count: apps.length, names: joined(apps) })} </>}
          {banner.until && <>{w("deprecatedUntil", { until: date(at(banner.until)) })} </>}
          {next && <>{w("brownouts", { count: dark.length, when: w("window", { from: moment(at(next.from), now), to: moment(at(next.to), now) }) })} </>}
          {banner.successor && (
            <Successor of={banner}>{w("follows", { version: banner.successor })}</Successor>
          )}{" "}
          {banner.successor && here && (
            <Link to="/apis/$name/reference" params={{ name: page.api }} search={{ version: majorOf(banner.successor), compare: majorOf(version) }}>
              {w("compareWith", { from: majorOf(version), to: majorOf(banner.successor) })}
            </Link>
          )}
          {reason}
        </Banner>
      );
    }
    case "blocked":
      return (
        <Banner kind="refusal" title={w("blockedTitle", { version, since: banner.since ? moment(at(banner.since), now) : "" })}>
          {w("blocked")} {banner.successor && <Successor of={banner}>{w("follows", { version: banner.successor })}</Successor>}
          {reason}
        </Banner>
      );
    case "preview":
      return <Banner icon="preview" title={w("previewTitle", { version })}>{w("preview")}</Banner>;
    case "draft":
      return <Banner icon="draft" title={w("draftTitle", { version })}>{w("draft")}</Banner>;
    default:
      return null;
  }
}

/** What is left of a retired version: that it was, and what follows. */
export function Tombstone({ chosen }: { chosen: Chosen }) {
  const { banner, version } = chosen;
  const ended = banner?.until ?? banner?.sunset ?? banner?.since;
  return (
    <Card>
      <Empty
        icon="retired"
        level={2}
        title={w("retiredTitle", { version })}
        action={
          banner?.successor &&
          banner.successorApi && (
            <ButtonLink kind="primary" to="/apis/$name" params={{ name: banner.successorApi }} search={{ version: majorOf(banner.successor) }}>
              {w("toSuccessor", { version: banner.successor })}
            </ButtonLink>
          )
        }
      >
        <p>{ended ? w("retired", { date: date(at(ended)) }) : w("retiredNoDate")}</p>
        {banner?.reason && <p>{w("reason", { reason: banner.reason })}</p>}
      </Empty>
    </Card>
  );
}
