import sprite from "./sprite.svg?url";

/** The drawings of sprite.svg; a test compares this list with it. */
export type IconName =
  | "alert" | "audit" | "bell" | "blocked" | "bolt" | "box" | "bus" | "card" | "cart" | "chart" | "check" | "cloud" | "coin" | "command" | "copy" | "deprecated" | "doc" | "down"
  | "download" | "draft" | "external" | "eye" | "factory" | "field" | "filter" | "flow" | "gear" | "heart" | "home" | "inbox" | "info" | "key" | "leaf" | "left" | "lock" | "map" | "mark"
  | "menu" | "moon" | "more" | "open" | "out" | "pause" | "pending" | "people" | "play" | "plus" | "preview" | "production" | "published" | "refresh" | "refused" | "reply" | "retired"
  | "right" | "sandbox" | "screen" | "search" | "server" | "shield" | "sort-both" | "sort-down" | "sort-up" | "spin" | "stream" | "sun" | "tag" | "truck" | "wifi" | "withheld" | "x";

/** One drawing, beside text: readers of screens do not hear it. Alone, it belongs into an IconButton. */
export function Icon({ name, className = "" }: { name: IconName; className?: string }) {
  return (
    <svg className={`icon ${className}`} aria-hidden="true">
      <use href={`${sprite}#${name}`} />
    </svg>
  );
}
