import { catalog } from "./catalog";

export const w = catalog("home", {
  title: "Event streams for the Kafka client you already have",
  lead: "Find an API, watch it live, subscribe. Your client keeps its protocol, its groups and its offsets.",
  browse: "Browse the catalog",
});
