import type { AuditPage } from "../../api/types";
import { Icon } from "../../components/icon";

export function ChainStatus({ page }: { page: AuditPage }) {
  if (page.verified) {
    return (
      <div class="chain good" role="status">
        <Icon name="chain" />
        <div><strong>The chain is whole.</strong><p>Every record's hash covers the record and the hash before it; the server has just checked all of them.</p></div>
      </div>
    );
  }
  return (
    <div class="chain bad" role="alert">
      <Icon name="warning" />
      <div>
        <strong>The chain is broken.</strong>
        <p>The first broken record: <code>{typeof page.break === "object" ? JSON.stringify(page.break) : String(page.break)}</code>. Records from there on cannot be trusted.</p>
      </div>
    </div>
  );
}
