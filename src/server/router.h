// The one table of routes: method, path, who may, where it runs, what answers. A path that is not in it does not exist.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "server/http.h"
#include "server/http_server.h"
#include "server/roles.h"

namespace starling {

struct Platform;

struct Route {
  std::string_view method;
  std::string_view pattern;  // "/v1/posts/{id}": {id} matches one segment and becomes request.parameters["id"]
  RoleSet roles;
  Lane lane;
  Response (*answer)(Platform&, const Request&);
};

std::span<const Route> all_routes();

struct RouteMatch {
  const Route* route = nullptr;  // null: no such route
  std::string allowed;           // methods that the path has, "GET, POST", when only the method is wrong
};

// Fills request.parameters. HEAD is answered by the GET route.
RouteMatch match_route(std::span<const Route> routes, Request& request);

}  // namespace starling
