#include "store/opt_out.h"

#include <soci/soci.h>

#include "core/error.h"
#include "core/json.h"
#include "store/audit_log.h"
#include "store/control_db.h"

namespace starling {

bool set_opt_out(ControlDb& control, const std::string& author, const std::string& purpose, bool opt_out) {
  if (author.empty()) throw ConfigError("an opt-out needs the id of an author");
  const AuditLog audit(control);
  bool changed = false;
  control.transaction([&](soci::session& sql) {
    changed = control.has_opted_out(author, purpose) != opt_out;
    opt_out ? control.add_opt_out(author, purpose) : control.remove_opt_out(author, purpose);
    if (changed)
      AuditLog::append_in(sql, opt_out ? "author.opted_out" : "author.opted_in",
                          dump_json_lossy(nlohmann::json{{"author", author}, {"purpose", purpose}}));
  });
  return changed;
}

}  // namespace starling
