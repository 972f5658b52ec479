import { useState } from "react";
import type { Schemas } from "../api/client";
import { Button } from "../ui/button";
import { Check } from "../ui/field";
import { full } from "../ui/numbers";
import { w } from "../words/browse";
import { facetTitle, valueTitle, type Facet } from "./filters";

const few = 6;

function One({ facet, onToggle }: { facet: Schemas["CatalogFacet"]; onToggle: (facet: Facet, value: string) => void }) {
  const [all, setAll] = useState(false);
  const shown = all ? facet.values : facet.values.filter((v, i) => i < few || v.chosen);
  const hidden = facet.values.length - shown.length;
  return (
    <fieldset className="min-w-0">
      <legend className="mb-1 text-sm font-semibold">{facetTitle(facet.name)}</legend>
      {shown.map((v) => (
        <Check key={v.value} checked={Boolean(v.chosen)} onChange={() => onToggle(facet.name, v.value)}>
          <span className="flex items-baseline gap-2">
            <span className="min-w-0 flex-1 [overflow-wrap:anywhere]">{valueTitle(facet.name, v.value, v.title)}</span>
            <span className="text-xs text-ink-3 tabular-nums">{full(v.count)}</span>
          </span>
        </Check>
      ))}
      {(hidden > 0 || all) && (
        <Button kind="quiet" size="sm" className="-ml-2 !px-2" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? w("fewer") : w("more", { count: hidden })}
        </Button>
      )}
    </fieldset>
  );
}

/** What the list can be filtered by, with what each would leave. */
export function Facets({ facets, onToggle }: { facets: readonly Schemas["CatalogFacet"][]; onToggle: (facet: Facet, value: string) => void }) {
  return (
    <div className="grid gap-5">
      {facets.map((f) => f.values.length > 0 && <One key={f.name} facet={f} onToggle={onToggle} />)}
    </div>
  );
}
