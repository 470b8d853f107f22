import type { Campaign } from "../../api/types";
import { Badge } from "../../components/badge";
import { Icon } from "../../components/icon";
import { href } from "../../shell/route";
import { formOf } from "./brief_form";

export function CampaignList({ campaigns, current }: { campaigns: Campaign[]; current: string }) {
  return (
    <nav class="campaigns" aria-label="Campaigns">
      <a class="new" href={href("ads")} aria-current={current === "" ? "true" : undefined}><Icon name="plus" /> New brief</a>
      {campaigns.map((campaign) => (
        <a key={campaign.id} href={href("ads", { campaign: campaign.id })} aria-current={campaign.id === current ? "true" : undefined}>
          <span>{formOf(campaign.brief).product || campaign.id}</span> <Badge tone={campaign.state === "approved" ? "good" : "plain"}>{campaign.state}</Badge>
        </a>
      ))}
    </nav>
  );
}
