#include "store/key_changes.h"

#include <soci/soci.h>

#include "core/json.h"
#include "store/audit_log.h"

namespace starling {
namespace {

// null stands for what the server gives to every key.
std::string record_of(const ApiKey& key) {
  const auto or_null = [](auto limit) { return limit < 0 ? nlohmann::json() : nlohmann::json(limit); };
  return dump_json(nlohmann::json{{"name", key.name},
                                  {"role", key.role},
                                  {"requests_per_second", or_null(key.limits.requests_per_second)},
                                  {"tokens_per_day", or_null(key.limits.tokens_per_day)}});
}

}  // namespace

std::string grant_key(ControlDb& control, const ApiKey& key) {
  const AuditLog audit(control);
  std::string clear;
  control.transaction([&](soci::session& sql) {
    clear = control.create_key(key.name, key.role, key.limits);
    AuditLog::append_in(sql, "key.created", record_of(key));
  });
  return clear;
}

std::optional<ApiKey> change_key(ControlDb& control, const std::string& name, const KeyLimitChange& change) {
  const AuditLog audit(control);
  std::optional<ApiKey> changed;
  control.transaction([&](soci::session& sql) {
    changed = control.set_key_limits(name, change);
    if (changed) AuditLog::append_in(sql, "key.changed", record_of(*changed));
  });
  return changed;
}

bool withdraw_key(ControlDb& control, const std::string& name) {
  const AuditLog audit(control);
  bool existed = false;
  control.transaction([&](soci::session& sql) {
    existed = control.revoke_key(name);
    if (existed) AuditLog::append_in(sql, "key.revoked", dump_json(nlohmann::json{{"name", name}}));
  });
  return existed;
}

}  // namespace starling
