import type { Claim } from "../../api/types";
import { Icon } from "../../components/icon";

interface ClaimListProps {
  claims: Claim[];
  onClaim?: (claim: Claim) => void;
}

function Verdict({ claim, onClaim }: { claim: Claim; onClaim?: (claim: Claim) => void }) {
  if (!claim.supported) return <span class="verdict bad">{claim.reason || "no fact supports it"}</span>;
  if (!claim.fact_id) return <span class="verdict">states nothing to prove</span>;
  if (!onClaim) return <span class="verdict good">fact <code>{claim.fact_id}</code></span>;
  return <button type="button" class="fact-link" onClick={() => onClaim(claim)}>fact <code>{claim.fact_id}</code></button>;
}

export function ClaimList({ claims, onClaim }: ClaimListProps) {
  return (
    <ul class="claim-list">
      {claims.map((claim, i) => (
        <li key={i} class={claim.supported ? (claim.fact_id ? "good" : "neutral") : "bad"}>
          <Icon name={claim.supported ? "check" : "cross"} />
          <span class="visually-hidden">{claim.supported ? "supported: " : "not supported: "}</span>
          <q>{claim.text}</q>
          <span class="claim-kind">{claim.kind}</span>
          <Verdict claim={claim} onClaim={onClaim} />
        </li>
      ))}
    </ul>
  );
}
