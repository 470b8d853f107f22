import { Segmented } from "../../components/segmented";
import { type Route, go } from "../../shell/route";
import { may, useSession } from "../../shell/session";
import { AdLibrary } from "./ad_library";
import { AuditRecords } from "./audit_records";

type Tab = "log" | "library";

export function AuditView({ route }: { route: Route }) {
  const { info } = useSession();
  const asked = route.params.get("tab");
  const tab: Tab = asked === "log" || asked === "library" ? asked : may(info, "audit") ? "log" : "library";
  return (
    <section class="view">
      <header class="view-head">
        <h1 tabIndex={-1}>{tab === "log" ? "Audit log" : "Ad library"}</h1>
        <Segmented label="Audit log or ad library" value={tab} onValue={(next) => go("audit", { tab: next })}
                   options={[{ value: "log", name: "Audit log" }, { value: "library", name: "Ad library" }]} />
      </header>
      {tab === "log" ? <AuditRecords /> : <AdLibrary />}
    </section>
  );
}
