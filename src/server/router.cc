#include "server/router.h"

namespace starling {
namespace {

// True when `pattern` has the request's segments; `parameters` then holds what its {names} stand for.
bool matches(std::string_view pattern, const std::vector<std::string>& path,
             std::map<std::string, std::string>& parameters) {
  parameters.clear();
  pattern.remove_prefix(1);
  for (size_t i = 0; i < path.size(); ++i) {
    const size_t slash = std::min(pattern.find('/'), pattern.size());
    const std::string_view part = pattern.substr(0, slash);
    if (part.starts_with('{') && !path[i].empty()) parameters[std::string(part.substr(1, part.size() - 2))] = path[i];
    else if (part != path[i]) return false;
    if (slash == pattern.size()) return i + 1 == path.size();
    pattern.remove_prefix(slash + 1);
  }
  return false;
}

}  // namespace

RouteMatch match_route(std::span<const Route> routes, Request& request) {
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  RouteMatch found;
  std::map<std::string, std::string> parameters;
  for (const Route& route : routes) {
    if (!matches(route.pattern, request.path, parameters)) continue;
    if (route.method == method) {
      request.parameters = parameters;
      return {&route, {}};
    }
    found.allowed += (found.allowed.empty() ? "" : ", ") + std::string(route.method);
  }
  return found;
}

}  // namespace starling
