#include "store/bury.h"

#include <soci/soci.h>

#include "core/json.h"
#include "store/audit_log.h"
#include "store/control_db.h"

namespace starling {

void bury(ControlDb& control, const std::string& kind, const std::string& id, const std::string& reason) {
  const AuditLog audit(control);
  control.transaction([&](soci::session& sql) {
    // Asked where deletions take turns: the same one may be under way.
    const bool known = kind == "post" ? control.is_deleted(id, "") : control.is_deleted("", id);
    if (known) return;
    control.add_tombstone({kind, id, 0, reason});
    // A reason may come from a terminal that does not write UTF-8: no reason to keep the post.
    AuditLog::append_in(sql, kind + ".deleted", dump_json_lossy(nlohmann::json{{"id", id}, {"reason", reason}}));
  });
}

}  // namespace starling
