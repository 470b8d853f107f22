import type { Deletion } from "../../api/types";
import { Done } from "../../components/notice";

export function DeletionNotice({ deletion }: { deletion: Deletion }) {
  const seen = deletion.checkpoints ?? [];
  return (
    <Done>
      <strong>Post {deletion.id} is deleted.</strong> Search, Ask and audiences no longer show it, and training skips it.
      {seen.length > 0 ? <> Checkpoints that saw it: {seen.map((path) => <code key={path}>{path}</code>)}.</> : <> No checkpoint saw it.</>}
    </Done>
  );
}
