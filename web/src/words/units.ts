import { catalog } from "./catalog";

/** Times and numbers. */
export const w = catalog("units", {
  now: "now",
  secondsAgo: "{n} s ago",
  minutesAgo: "{n} min ago",
  hoursAgo: "{n} h ago",
  daysAgo: "{n} d ago",
  yearsAgo: { one: "{count} year ago", other: "{count} years ago" },
  inSeconds: "in {n} s",
  inMinutes: "in {n} min",
  inHours: "in {n} h",
  inDays: "in {n} d",
  inYears: { one: "in {count} year", other: "in {count} years" },
  never: "never",
  noneYet: "none yet",
  million: "{n} million",
  billion: "{n} billion",
  lastEvent: "last event {ago}",
  noEvent: "no event yet",
  utc: "{time} UTC",
});
