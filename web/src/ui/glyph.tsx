import { Icon, type IconName } from "./icon";

// Documents name these; a stream is drawn for those that name none.
const drawn: Record<string, IconName> = {
  bell: "bell", box: "box", bus: "bus", card: "card", cart: "cart", chart: "chart", cloud: "cloud", factory: "factory", heart: "heart",
  home: "home", key: "key", leaf: "leaf", map: "map", people: "people", shield: "shield", stream: "stream", tag: "tag", truck: "truck",
};

/** What is drawn beside the title of an API or a product. */
export function Glyph({ icon }: { icon?: string | undefined }) {
  return (
    <span className="grid size-8 flex-none place-items-center rounded-[8px] bg-accent-soft text-accent-text">
      <Icon name={drawn[icon ?? ""] ?? "stream"} />
    </span>
  );
}
