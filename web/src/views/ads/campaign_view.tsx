import { useMemo, useState } from "preact/hooks";
import type { Campaign, Claim, Variant } from "../../api/types";
import { ApproveForm } from "./approve_form";
import { Audiences } from "./audiences";
import { maxGraphemes } from "./brief_form";
import { CampaignState } from "./campaign_state";
import { FactLedger } from "./fact_ledger";
import { OwnWords } from "./own_words";
import { VariantCard } from "./variant_card";

interface CampaignViewProps {
  campaign: Campaign;
  onChange: (campaign: Campaign) => void;
}

function Rejected({ variants, ...rest }: { variants: Variant[]; nameOf: (variant: Variant) => string | undefined; most: number; onClaim: (claim: Claim) => void }) {
  if (variants.length === 0) return null;
  return (
    <details class="rejected" open={variants.length <= 3}>
      <summary>{variants.length} rejected, and why</summary>
      {variants.map((variant) => (
        <VariantCard key={variant.id} variant={variant} audience={rest.nameOf(variant)} maxGraphemes={rest.most} onClaim={rest.onClaim} />
      ))}
    </details>
  );
}

export function CampaignView({ campaign, onChange }: CampaignViewProps) {
  const variants = campaign.variants ?? [];
  const [picked, setPicked] = useState<Set<string>>(new Set());
  const [selected, setSelected] = useState<{ id: string }>();
  const onClaim = (claim: Claim) => setSelected(claim.fact_id ? { id: claim.fact_id } : undefined);
  const names = useMemo(() => new Map(campaign.audiences?.map((audience) => [audience.id, audience.name])), [campaign]);
  const nameOf = (variant: Variant) => names.get(variant.audience_id ?? "");
  const most = maxGraphemes(campaign.brief);
  const offered = variants.filter((variant) => variant.state === "accepted");
  const pick = (id: string, on: boolean) => {
    const next = new Set(picked);
    if (on) next.add(id); else next.delete(id);
    setPicked(next);
  };

  return (
    <div class="campaign">
      <div class="campaign-main">
        <CampaignState campaign={campaign} onChange={onChange} />
        <Audiences campaign={campaign} />
        <section aria-labelledby="variants">
          <h2 id="variants">Variants</h2>
          {variants.every((variant) => variant.state === "rejected") && <p>No variant passed the checks. The reasons are below; more facts in the brief give the writer more to say.</p>}
          {variants.filter((variant) => variant.state !== "rejected").map((variant) => (
            <VariantCard key={variant.id} variant={variant} audience={nameOf(variant)} maxGraphemes={most} onClaim={onClaim}
                         picked={picked.has(variant.id)} onPick={variant.state === "accepted" ? (on) => pick(variant.id, on) : undefined} />
          ))}
          {offered.length > 0 && (
            <ApproveForm campaign={campaign} picked={[...picked]} onApproved={(approved) => { setPicked(new Set()); onChange(approved); }} />
          )}
          <Rejected variants={variants.filter((variant) => variant.state === "rejected")} nameOf={nameOf} most={most} onClaim={onClaim} />
        </section>
        <OwnWords brief={campaign.brief} onClaim={onClaim} />
      </div>
      <FactLedger campaign={campaign} selected={selected} />
    </div>
  );
}
