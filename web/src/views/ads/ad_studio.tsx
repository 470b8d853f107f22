import { useCallback } from "preact/hooks";
import { get } from "../../api/client";
import type { Campaign } from "../../api/types";
import { useLoad } from "../../api/use_request";
import { ErrorNotice, Loading } from "../../components/notice";
import { announce } from "../../shell/announce";
import { type Route, go, href } from "../../shell/route";
import { BriefEditor } from "./brief_editor";
import { formOf, kExampleBrief } from "./brief_form";
import { CampaignList } from "./campaign_list";
import { CampaignView } from "./campaign_view";
import { JobProgress } from "./job_progress";
import { useWriteJob } from "./use_write_job";

interface Campaigns {
  campaigns: Campaign[];
}

const load = (path: string, signal: AbortSignal) => get<Campaigns>(path, signal);

function NewBrief({ from, onWritten }: { from?: Campaign; onWritten: (campaign: Campaign) => void }) {
  const { job, error, running, write, retry } = useWriteJob(onWritten);
  return (
    <>
      <BriefEditor brief={from?.brief ?? kExampleBrief} busy={running} onWrite={(brief) => void write(brief)} key={from?.id ?? ""} />
      {running && job && <JobProgress job={job} />}
      {job?.state === "failed" && <ErrorNotice error={new Error(job.message || "The writer failed without a reason.")} retry={retry} />}
      {error && <ErrorNotice error={error} retry={retry} />}
    </>
  );
}

export function AdStudio({ route }: { route: Route }) {
  const { data, error, reload } = useLoad("v1/ads/campaigns", load);
  const id = route.params.get("campaign") ?? "";
  const campaigns = data?.campaigns ?? [];
  const campaign = campaigns.find((candidate) => candidate.id === id);
  const template = campaigns.find((candidate) => candidate.id === route.params.get("from"));
  const onWritten = useCallback((written: Campaign) => {
    announce("The ad is written.");
    void reload().then((campaigns) => { if (campaigns) go("ads", { campaign: written.id }); });
  }, [reload]);

  return (
    <section class="view">
      <header class="view-head">
        <h1 tabIndex={-1}>{campaign ? formOf(campaign.brief).product : "Ad studio"}</h1>
        {campaign && <a class="button" href={href("ads", { from: campaign.id })}>Write again from this brief</a>}
      </header>
      {error && <ErrorNotice error={error} retry={() => void reload()} />}
      {!data && !error && <Loading what="the campaigns" />}
      {data && (
        <>
          <CampaignList campaigns={campaigns} current={id} />
          {id && !campaign && <ErrorNotice error={new Error(`There is no campaign ${id} in this workspace.`)} />}
          {campaign && <CampaignView campaign={campaign} onChange={() => void reload()} key={campaign.id} />}
          {!id && <NewBrief from={template} onWritten={onWritten} />}
        </>
      )}
    </section>
  );
}
