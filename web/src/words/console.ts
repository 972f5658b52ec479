import { catalog } from "./catalog";

export const w = catalog("console", {
  navigation: "Console",
  publish: "Publish",
  title: "Console",
  lead: "Publish APIs, decide who gets them, and see who reads them.",
});
