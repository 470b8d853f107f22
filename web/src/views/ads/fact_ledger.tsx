import { useLayoutEffect, useRef } from "preact/hooks";
import type { Campaign } from "../../api/types";
import { formOf } from "./brief_form";

interface FactLedgerProps {
  campaign: Campaign;
  selected?: { id: string }; // a new object each time a claim is chosen, so choosing it twice goes there twice
}

function validity(from: string, to: string): string {
  if (from && to) return `${from} to ${to}`;
  if (from) return `from ${from}`;
  return to ? `to ${to}` : "always";
}

export function FactLedger({ campaign, selected }: FactLedgerProps) {
  const { facts } = formOf(campaign.brief);
  const rows = useRef(new Map<string, HTMLLIElement | null>());
  useLayoutEffect(() => {
    const row = selected && rows.current.get(selected.id);
    row?.scrollIntoView({ block: "nearest" });
    row?.focus({ preventScroll: true });
  }, [selected]);
  const uses = (id: string) =>
    (campaign.variants ?? []).flatMap((variant) => variant.claims ?? []).filter((claim) => claim.supported && claim.fact_id === id).length;

  return (
    <aside class="ledger panel" aria-labelledby="ledger">
      <h2 id="ledger">What {formOf(campaign.brief).advertiser || "the advertiser"} attests</h2>
      <ul>
        {facts.map((fact) => (
          <li key={fact.id} tabIndex={-1} id={`fact-${fact.id}`} class={selected?.id === fact.id ? "selected" : ""}
              ref={(row) => { rows.current.set(fact.id, row); }}>
            <span class="fact-name">{fact.name || fact.id}</span>
            <strong class="fact-value">{fact.value} {fact.unit}</strong>
            <span class="fact-note"><code>{fact.id}</code> · valid {validity(fact.valid_from, fact.valid_to)} · proves {uses(fact.id)}</span>
          </li>
        ))}
      </ul>
      {facts.length === 0 && <p>No facts: only copy that states nothing can pass.</p>}
    </aside>
  );
}
