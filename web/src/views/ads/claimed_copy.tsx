import type { Claim } from "../../api/types";
import { type CopyRun, copyRuns } from "../../text/claim_spans";

interface ClaimedCopyProps {
  headline: string;
  body: string;
  claims: Claim[];
  onClaim?: (claim: Claim) => void; // makes every claim a control that goes to its fact
}

export const claimTitle = (claim: Claim) =>
  claim.supported
    ? claim.fact_id ? `${claim.kind}: proven by the fact “${claim.fact_id}”` : `${claim.kind}: states nothing to prove`
    : `${claim.kind}: ${claim.reason || "no fact supports it"}`;

// A claim that states nothing to prove is plain text.
const isMarked = (claim?: Claim) => claim && (!claim.supported || claim.fact_id);

function Run({ run, onClaim }: { run: CopyRun; onClaim?: (claim: Claim) => void }) {
  const { claim } = run;
  if (!claim || !isMarked(claim)) return <>{run.text}</>;
  const look = { class: `claim ${claim.supported ? "good" : "bad"}`, title: claimTitle(claim) };
  if (!onClaim) return <span {...look}>{run.text}</span>;
  return (
    <span {...look} role="button" tabIndex={0} onClick={() => onClaim(claim)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" && event.key !== " ") return;
            event.preventDefault();
            onClaim(claim);
          }}>
      {run.text}
    </span>
  );
}

export function ClaimedCopy({ headline, body, claims, onClaim }: ClaimedCopyProps) {
  const runs = copyRuns(headline, body, claims);
  return (
    <div class="copy" dir="auto">
      <p class="copy-headline">{runs.headline.map((run, i) => <Run key={i} run={run} onClaim={onClaim} />)}</p>
      <p class="copy-body">{runs.body.map((run, i) => <Run key={i} run={run} onClaim={onClaim} />)}</p>
    </div>
  );
}
