import type { Claim, Variant } from "../../api/types";
import { Badge, type Tone } from "../../components/badge";
import { ClaimList } from "./claim_list";
import { ClaimedCopy } from "./claimed_copy";

interface VariantCardProps {
  variant: Variant;
  audience?: string;
  maxGraphemes: number;
  onClaim: (claim: Claim) => void;
  picked?: boolean;
  onPick?: (picked: boolean) => void; // absent: cannot be approved
}

const kTones: Record<Variant["state"], Tone> = { accepted: "note", approved: "good", rejected: "bad" };

function Length({ graphemes, most }: { graphemes: number; most: number }) {
  return (
    <span class="length">
      <meter min={0} max={most} high={most * 0.95} value={Math.min(graphemes, most)} aria-label={`Length: ${graphemes} of ${most} characters`} />
      {graphemes} / {most}
    </span>
  );
}

export function VariantCard({ variant, audience, maxGraphemes, onClaim, picked, onPick }: VariantCardProps) {
  const claims = variant.claims ?? [];
  return (
    <article class={`panel variant ${variant.state}`}>
      <header>
        <Badge tone={kTones[variant.state]}>{variant.state}</Badge>
        {audience && <span class="variant-audience">for {audience}</span>}
        {variant.score !== undefined && variant.state !== "rejected" && (
          <span class="variant-score" title="Mean log-likelihood a token under the writer, plus relevance; higher is better">score {variant.score.toFixed(2)}</span>
        )}
      </header>
      {variant.label && <p class="ad-label">{variant.label}</p>}
      <ClaimedCopy headline={variant.headline} body={variant.body} claims={claims} onClaim={onClaim} />
      {variant.reasons && variant.reasons.length > 0 && (
        <ul class="reasons" aria-label="Why it was rejected">{variant.reasons.map((reason) => <li key={reason}>{reason}</li>)}</ul>
      )}
      {claims.length > 0 && <ClaimList claims={claims} onClaim={onClaim} />}
      <footer>
        <Length graphemes={variant.graphemes ?? 0} most={maxGraphemes} />
        {onPick && (
          <label class="check">
            <input type="checkbox" checked={picked} onChange={(event) => onPick(event.currentTarget.checked)} /> Approve this one
          </label>
        )}
      </footer>
    </article>
  );
}
