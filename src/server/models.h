// The language models a server answers with: the platform's own, its embedder, the writer of ads and answers, and those
// that server.models names. A model that is missing or damaged leaves its place empty; problems() says why. The writer
// and the others are loaded when they are used, and freed when no request has used them for server.model_idle_s.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/workspace.h"
#include "infer/engine.h"
#include "server/server_config.h"

namespace starling {

class Models {
 public:
  Models(const Workspace& workspace,
         const ServerOptions& options);  // loads the own model and the embedder; throws Error when stop_requested()
  ~Models();

  // As long as these models are; the writer loads itself at each use.
  Engine* own() const { return own_.get(); }
  Engine* embedder() const { return embedder_.get(); }  // the own model when there is no embedder
  Engine* writer() const { return writer_.get(); }      // the own model when there is no writer
  Engine& find(const std::string& name) const;          // perhaps not in memory; throws HttpError 404 model_not_found
  // Loaded, and not freed while the caller holds it. Throws HttpError 404 model_not_found, or 503 model_unavailable
  // when it cannot be loaded or is larger than the memory that is left.
  std::shared_ptr<Engine> require(const std::string& name) const;
  std::shared_ptr<Engine> require_embedder(const std::string& name) const;  // the same; empty: the embedder
  bool is_loaded(const std::string& name) const;                            // of one of names()
  void forget_prefixes() const;                                             // of all of them
  std::vector<std::string> names() const;                                   // of all that require() knows
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  using Place = std::shared_ptr<Engine>;
  Place load(const Workspace& workspace, const std::string& name, const EngineOptions& options, bool required);
  Place load_later(const Workspace& workspace, const std::string& name, const EngineOptions& options);
  const Place& place(const std::string& name) const;  // throws as find() does
  void unload_idle(double idle_s);

  std::map<std::string, Place> engines_;  // the same from the constructor on
  Place own_, embedder_, writer_;
  std::vector<std::string> problems_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread unloader_;
};

}  // namespace starling
