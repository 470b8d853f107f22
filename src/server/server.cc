#include "server/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/time.h"
#include "server/http_server.h"
#include "server/platform.h"
#include "server/rate_limiter.h"
#include "server/router.h"

namespace starling {
namespace {

constexpr size_t kMaxKeyBytes = 200;

// The key of "Authorization: Bearer <key>"; empty when the header has another form.
std::string bearer_key(std::string_view header) {
  constexpr std::string_view kScheme = "bearer ";
  if (header.size() <= kScheme.size() || header.size() > kScheme.size() + kMaxKeyBytes) return {};
  for (size_t i = 0; i < kScheme.size(); ++i)
    if (std::tolower(static_cast<unsigned char>(header[i])) != kScheme[i]) return {};
  return std::string(header.substr(kScheme.size()));
}

// A client's text on one line, quoted, so that it cannot look like a line of the log.
std::string log_text(const std::string& body) {
  constexpr size_t kMost = 16 << 10;
  const nlohmann::json text = body.substr(0, kMost);
  const std::string quoted = text.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return body.size() <= kMost ? quoted : fmt::format("{} and {} more bytes", quoted, body.size() - kMost);
}

// What the page's own paths are not: answered by routes only, and never by index.html.
bool belongs_to_page(const Request& request) {
  const std::string& first = request.path.front();
  return (request.method == "GET" || request.method == "HEAD") && first != "v1" && first != "metrics";
}

}  // namespace

struct Server::State {
  State(const Workspace& workspace, const Config& config, const ServerOptions& options)
      : log_requests(options.log_requests),
        log_content(options.log_content),
        limiter(options.requests_per_second, options.request_burst),
        http(
            options.http, [this](Request& head) { return dispatch(head); },
            [this](const FinishedRequest& finished) { on_finished(finished); }),
        platform(workspace, config, options) {}

  Dispatch dispatch(Request& head);
  std::optional<Response> admit(Request& request, RoleSet roles);
  std::optional<Response> check_quota(const Request& request);
  void on_finished(const FinishedRequest& finished);

  const bool log_requests, log_content;
  RateLimiter limiter;
  HttpServer http;  // serves from start() on, when the platform is there; stopped before either ends
  Platform platform;
};

Dispatch Server::State::dispatch(Request& head) {
  const RouteMatch match = match_route(all_routes(), head);
  if (match.route) {
    const Route& route = *match.route;
    Dispatch found{.route = std::string(route.pattern), .lane = route.lane};
    found.answer = [this, &route](const Request& request) { return route.answer(platform, request); };
    if (route.roles != kPublic)
      found.admit = [this, &route](Request& request) {
        std::optional<Response> refused = admit(request, route.roles);
        return refused || route.lane != Lane::generation ? std::move(refused) : check_quota(request);
      };
    return found;
  }
  if (match.allowed.empty() && belongs_to_page(head))
    return {.route = "page", .answer = [this](const Request& request) { return platform.page.serve(request); }};
  // Who has no key learns nothing about which paths exist.
  Dispatch unknown{.route = "unknown"};
  unknown.admit = [this](Request& request) { return admit(request, kAnyRole); };
  unknown.answer = [allowed = match.allowed](const Request& request) {
    if (allowed.empty())
      throw HttpError(404, "unknown_url", fmt::format("there is no {} at this path", request.method));
    Response response = error_response(HttpError(405, "method_not_allowed", "this path takes " + allowed));
    response.headers.emplace_back("Allow", allowed);
    return response;
  };
  return unknown;
}

std::optional<Response> Server::State::admit(Request& request, RoleSet roles) {
  const std::string key = bearer_key(request.authorization);
  request.authorization.clear();
  if (key.empty() || !platform.control.find_key(key, request.key)) {
    request.key = {};
    return error_response(HttpError(401, "invalid_api_key",
                                    "send `Authorization: Bearer <key>` with a key made by `starling keys create`"));
  }
  if (const double wait_s = limiter.take(request.key, monotonic_s()); wait_s > 0) {
    HttpError limited(429, "rate_limit_exceeded", "this key makes requests faster than it may; wait and try again");
    limited.retry_after_s = static_cast<int>(std::ceil(wait_s));
    return error_response(limited);
  }
  if (!(role_of(request.key.role) & roles))
    return error_response(
        HttpError(403, "role_not_allowed", fmt::format("a key with the role `{}` may not do this", request.key.role)));
  return std::nullopt;
}

std::optional<Response> Server::State::check_quota(const Request& request) {
  const int64_t wait_s = platform.quota.wait_s(request.key, now_s());
  if (wait_s == 0) return std::nullopt;
  HttpError spent(429, "insufficient_quota", "this key has used the tokens it has for a day (UTC)");
  spent.retry_after_s = static_cast<int>(wait_s);
  return error_response(spent);
}

void Server::State::on_finished(const FinishedRequest& finished) {
  const std::string& route = finished.route.empty() ? "unknown" : finished.route;
  // A method is the client's own text; only those that routes know become a label.
  static const std::set<std::string> kMethods = {"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"};
  const std::string method = kMethods.contains(finished.request.method) ? finished.request.method : "other";
  platform.metrics.count_request(route, method, finished.status, finished.seconds);
  if (log_requests)
    spdlog::info("{} {} {} {:.1f} ms {} {}", method, route, finished.status, finished.seconds * 1000,
                 finished.request.id, finished.request.key.name);
  if (log_content && !finished.request.body.empty())
    spdlog::info("{} {} {} {} body {}", method, route, finished.request.id, finished.request.key.name,
                 log_text(finished.request.body));
}

Server::Server(const Workspace& workspace, const Config& config, const ServerOptions& options)
    : state_(std::make_unique<State>(workspace, config, options)) {
  Metrics& metrics = state_->platform.metrics;
  HttpServer& http = state_->http;
  metrics.add_gauge("starling_http_connections", "Open connections", [&http] { return double(http.connections()); });
  metrics.add_gauge("starling_queued_requests", "Requests that wait for a thread",
                    [&http] { return double(http.queued(Lane::quick)); });
  metrics.add_gauge("starling_queued_generations", "Requests that wait for a language model",
                    [&http] { return double(http.queued(Lane::generation)); });
}

Server::~Server() { stop(); }

void Server::start() { state_->http.start(); }
void Server::stop() { state_->http.stop(); }
void Server::renew_certificate() { state_->http.renew_certificate(); }
int Server::port() const { return state_->http.port(); }
Platform& Server::platform() { return state_->platform; }

}  // namespace starling
