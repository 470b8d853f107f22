import { useState } from "preact/hooks";
import { post } from "../../api/client";
import type { Brief, Claim, Variant } from "../../api/types";
import { useRequest } from "../../api/use_request";
import { TextField } from "../../components/field";
import { ErrorNotice } from "../../components/notice";
import { maxGraphemes } from "./brief_form";
import { VariantCard } from "./variant_card";

// The same checks as for the model's copy, on a person's own words. Nothing is stored.
export function OwnWords({ brief, onClaim }: { brief: Brief; onClaim: (claim: Claim) => void }) {
  const [headline, setHeadline] = useState("");
  const [body, setBody] = useState("");
  const { data: checked, error, loading, run } = useRequest<Variant>();
  const submit = (event: Event) => {
    event.preventDefault();
    void run((signal) => post("v1/ads/check", { brief, headline, body }, signal));
  };
  return (
    <section aria-labelledby="own-words">
      <h2 id="own-words">Check your own words</h2>
      <form class="own-words panel" onSubmit={submit}>
        <TextField label="Headline" value={headline} onValue={setHeadline} required />
        <TextField label="Body" rows={3} value={body} onValue={setBody} required />
        <button type="submit" class="button" disabled={loading || !headline.trim() || !body.trim()}>{loading ? "Checking…" : "Check against the facts"}</button>
      </form>
      {error && <ErrorNotice error={error} />}
      <div role="status">{checked && <VariantCard variant={checked} maxGraphemes={maxGraphemes(brief)} onClaim={onClaim} />}</div>
    </section>
  );
}
