// `starling serve` as a library: the routes on the HTTP server, with API keys, roles, rate limits and metrics between.
#pragma once

#include <memory>

#include "core/config.h"
#include "core/workspace.h"
#include "server/server_config.h"

namespace starling {

struct Platform;

class Server {
 public:
  // Binds the port first, then opens the workspace: a port in use is told before a model is loaded.
  Server(const Workspace& workspace, const Config& config, const ServerOptions& options);
  ~Server();

  void start();
  void stop();               // graceful, see HttpServer::stop
  void renew_certificate();  // see HttpServer
  int port() const;
  Platform& platform();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling
