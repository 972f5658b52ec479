import { catalog } from "./catalog";

export const w = catalog("console", {
  navigation: "Console",
  publish: "Publish",
  apis: "APIs",
  approvals: "Approvals",
  lifecycle: "Life cycle",
  title: "Console",
  lead: "Publish APIs, decide who gets them, and see who reads them.",
});
