#include "cluster/planner.h"
#include "core/json.h"
#include "core/time.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"

namespace starling {
namespace {

using nlohmann::json;

// A record's body is JSON text that we wrote; a record that someone damaged is shown as text.
json body_of(const AuditRecord& record) {
  json body = try_parse_json(record.body);
  return body.is_discarded() ? json(record.body) : body;
}

}  // namespace

Response list_audit(Platform& platform, const Request& request) {
  const int64_t after = query_integer(request, "after", 0, 0, INT64_MAX);
  const int limit = static_cast<int>(query_integer(request, "limit", 100, 1, 1000));
  json records = json::array();
  for (const AuditRecord& record : platform.audit.list(after, limit, query_text(request, "kind")))
    records.push_back({{"sequence", record.sequence},
                       {"time", format_time(record.time_s)},
                       {"kind", record.kind},
                       {"body", body_of(record)},
                       {"hash", record.hash}});
  const auto broken = platform.audit.verify();
  json where;
  if (broken) where = {{"sequence", broken->sequence}, {"reason", broken->reason}};
  return json_response(json{{"records", std::move(records)}, {"verified", !broken}, {"break", std::move(where)}});
}

Response plan_cluster(Platform&, const Request& request) {
  const JsonBody checked(request.body);
  try {
    return {.body = to_json(plan(plan_request_from_json(request.body)))};
  } catch (const ConfigError& error) {
    throw HttpError(400, "invalid_plan", error.what());
  }
}

Response get_info(Platform& platform, const Request& request) {
  const Engine* writer = platform.models.writer();
  return json_response(json{{"version", STARLING_VERSION},
                            {"role", request.key.role},
                            {"workspace", platform.workspace.root.filename().string()},
                            {"posts", platform.posts.size()},
                            {"indexed_posts", platform.search ? platform.search->indexed_posts() : 0},
                            {"models", platform.models.names()},
                            {"writer", writer ? json(writer->name()) : json()},
                            {"problems", platform.problems}});
}

Response get_health(Platform&, const Request&) { return {.body = R"({"status":"ok"})"}; }

Response get_readiness(Platform& platform, const Request&) {
  const bool ready = platform.search && platform.models.own();
  return json_response(json{{"ready", ready}}, ready ? 200 : 503);
}

Response get_metrics(Platform& platform, const Request&) {
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = platform.metrics.text()};
}

}  // namespace starling
