import { catalog } from "./catalog";

/** The vocabulary of states; see ui/badge.tsx for how they look. */
export const w = catalog("states", {
  draft: "draft",
  preview: "preview",
  published: "published",
  deprecated: "deprecated",
  retired: "retired",
  blocked: "blocked",
  open: "open",
  withheld: "withheld",
  ended: "ended",
  refused: "refused",
  pending: "waiting for approval",
  active: "active",
  suspended: "suspended",
  rejected: "rejected",
  closed: "closed",
  expired: "expired",
  retiring: "retiring",
  revoked: "revoked",
  issued: "issued",
  due: "due",
  overdue: "overdue",
  paid: "paid",
  void: "void",
});
