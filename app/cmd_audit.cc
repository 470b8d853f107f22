#include <fmt/format.h>

#include <charconv>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "core/time.h"
#include "store/audit_log.h"
#include "store/control_db.h"

namespace starling {
namespace {

using Json = nlohmann::json;

// "12:9f86d0…": a sequence and the hash that record had.
AuditRecord parse_anchor(const std::string& text) {
  AuditRecord anchor;
  if (text.empty()) return anchor;
  const size_t colon = text.find(':');
  const auto [end, error] = std::from_chars(text.data(), text.data() + std::min(colon, text.size()), anchor.sequence);
  if (colon == std::string::npos || error != std::errc() || end != text.data() + colon || anchor.sequence < 1 ||
      text.size() - colon != 65) {
    throw ConfigError("--anchor must be SEQUENCE:HASH as `starling audit verify` prints them");
  }
  anchor.hash = text.substr(colon + 1);
  return anchor;
}

void verify(const GlobalOptions& options, const std::string& anchor_text) {
  const AuditRecord anchor = parse_anchor(anchor_text);
  ControlDb control(options.open_workspace().control_db());
  const AuditLog audit(control);
  const std::optional<AuditLog::Break> broken = audit.verify(anchor);
  const std::optional<AuditRecord> head = audit.head();
  if (options.json) {
    Json json = {{"verified", !broken},
                 {"break", nullptr},
                 {"records", head ? head->sequence : 0},
                 {"head", head ? head->hash : ""}};
    if (broken) json["break"] = {{"sequence", broken->sequence}, {"reason", broken->reason}};
    fmt::print("{}\n", dump_json(json));
  } else if (!broken) {
    fmt::print("The audit log is whole: {} records.\n", head ? head->sequence : 0);
    if (head) fmt::print("Head {}:{}\n", head->sequence, head->hash);
  }
  if (broken)
    throw DataError(fmt::format("the audit log is broken at record {}: {}", broken->sequence, broken->reason));
}

void list(const GlobalOptions& options, int64_t after, int limit, const std::string& kind) {
  ControlDb control(options.open_workspace().control_db());
  const AuditLog audit(control);
  Json rows = Json::array();
  for (const AuditRecord& record : audit.list(after, limit, kind)) {
    if (!options.json) {
      fmt::print("{:>6}  {}  {:<14} {}\n", record.sequence, format_time(record.time_s), record.kind, record.body);
      continue;
    }
    const Json body = try_parse_json(record.body);
    rows.push_back({{"sequence", record.sequence},
                    {"time", format_time(record.time_s)},
                    {"kind", record.kind},
                    {"body", body.is_discarded() ? Json(record.body) : body},
                    {"hash", record.hash}});
  }
  if (options.json) fmt::print("{}\n", dump_json(Json{{"records", rows}}));
}

}  // namespace

void add_audit(Command root, const GlobalOptions& options) {
  Command audit =
      root.add_subcommand("audit", "The hash-chained log of decisions and deletions; which model saw which post");
  audit.require_subcommand();
  audit.footer(
      "Examples:\n  starling audit verify\n  starling audit list --kind ad. --limit 20\n"
      "  starling audit data --post 1234");

  Command verified = audit.add_subcommand("verify", "Check every hash; name the first broken record");
  auto anchor = std::make_shared<std::string>();
  verified.add_option("--anchor", *anchor,
                      "SEQUENCE:HASH of a head kept elsewhere: notices a log that was cut or written anew");
  verified.footer(
      "Example:\n  starling audit verify --anchor 12:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
  verified.callback([&options, anchor] { verify(options, *anchor); });

  Command listed = audit.add_subcommand("list", "Records, oldest first");
  auto after = std::make_shared<int64_t>(0);
  auto limit = std::make_shared<int>(100);
  auto kind = std::make_shared<std::string>();
  listed.add_option("--after", *after, "Only records behind this sequence").show_default();
  listed.add_option("--limit", *limit, "At most this many").show_default().between(1, 100000);
  listed.add_option("--kind", *kind, "Only kinds that start so: ad. or post.deleted");
  listed.footer("Example:\n  starling audit list --kind post.deleted --json");
  listed.callback([&options, after, limit, kind] { list(options, *after, *limit, *kind); });
  add_audit_data(audit, options);
}

}  // namespace starling
