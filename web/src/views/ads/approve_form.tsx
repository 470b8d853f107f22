import { useState } from "preact/hooks";
import { post } from "../../api/client";
import type { Campaign } from "../../api/types";
import { useRequest } from "../../api/use_request";
import { TextField } from "../../components/field";
import { Icon } from "../../components/icon";
import { ErrorNotice } from "../../components/notice";
import { announce } from "../../shell/announce";
import { plural } from "../../text/format";

interface ApproveFormProps {
  campaign: Campaign;
  picked: string[];
  onApproved: (campaign: Campaign) => void;
}

export function ApproveForm({ campaign, picked, onApproved }: ApproveFormProps) {
  const [approver, setApprover] = useState("");
  const { error, loading, run } = useRequest<Campaign>();
  const submit = async (event: Event) => {
    event.preventDefault();
    const approved = await run((signal) =>
      post(`v1/ads/campaigns/${encodeURIComponent(campaign.id)}/approve`, { variant_ids: picked, approver: approver.trim() }, signal));
    if (!approved) return;
    announce("Approved. The ads may now enter the auction.");
    onApproved(approved);
  };
  return (
    <form class="approve panel" onSubmit={submit}>
      <TextField label="Approved by" hint="A person's name; it is written to the audit log." value={approver} onValue={setApprover} required />
      <button type="submit" class="button primary" disabled={loading || picked.length === 0 || !approver.trim()}>
        <Icon name="check" /> {loading ? "Approving…" : picked.length === 0 ? "Choose a variant" : `Approve ${plural(picked.length, "variant")}`}
      </button>
      {error && <ErrorNotice error={error} />}
    </form>
  );
}
