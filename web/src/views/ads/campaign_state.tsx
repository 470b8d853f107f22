import { post } from "../../api/client";
import type { Campaign } from "../../api/types";
import { useRequest } from "../../api/use_request";
import { Badge, type Tone } from "../../components/badge";
import { ConfirmButton } from "../../components/confirm_button";
import { ErrorNotice } from "../../components/notice";
import { announce } from "../../shell/announce";
import { money } from "../../text/format";
import { budgetMicros, formOf } from "./brief_form";

interface CampaignStateProps {
  campaign: Campaign;
  onChange: (campaign: Campaign) => void;
}

const kTones: Record<Campaign["state"], Tone> = { draft: "note", approved: "good", paused: "plain", ended: "plain" };

// Where the campaign stands, what it has spent, and the buttons that take it out of the auction and back.
export function CampaignState({ campaign, onChange }: CampaignStateProps) {
  const { error, loading, run } = useRequest<Campaign>();
  const { currency } = formOf(campaign.brief);
  const change = async (state: Campaign["state"]) => {
    const changed = await run((signal) => post(`v1/ads/campaigns/${encodeURIComponent(campaign.id)}/state`, { state }, signal));
    if (!changed) return;
    announce(`The campaign is ${state}.`);
    onChange(changed);
  };
  const live = campaign.state === "approved" || campaign.state === "paused";
  return (
    <div class="campaign-state">
      <Badge tone={kTones[campaign.state]}>{campaign.state}</Badge>
      <span>{money(campaign.spent_micros ?? 0, currency)} of {money(budgetMicros(campaign.brief), currency)} spent</span>
      {campaign.state === "approved" && <button type="button" class="button small" disabled={loading} onClick={() => void change("paused")}>Pause</button>}
      {campaign.state === "paused" && <button type="button" class="button small" disabled={loading} onClick={() => void change("approved")}>Resume</button>}
      {live && <ConfirmButton icon="cross" name="End" question="End it for good?" onConfirm={() => void change("ended")} />}
      {error && <ErrorNotice error={error} />}
    </div>
  );
}
