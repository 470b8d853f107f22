// The language models a server answers with: the platform's own, its embedder, the writer of ads and answers, and those
// that server.models names. A model that is missing or damaged leaves its place empty; problems() says why. The writer
// and the others are loaded at their first use and stay. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/workspace.h"
#include "infer/engine.h"
#include "server/server_config.h"

namespace starling {

class Models {
 public:
  Models(const Workspace& workspace,
         const ServerOptions& options);  // loads the own model and the embedder

  Engine* own() const { return own_; }
  Engine* embedder() const { return embedder_; }  // the own model when there is no embedder
  Engine* writer() const { return writer_; }      // the own model when there is no writer
  Engine& find(const std::string& name) const;    // not loaded, it may be; throws HttpError 404 model_not_found
  // Loaded. Throws HttpError 404 model_not_found, or 503 model_unavailable when it cannot be loaded or is larger than
  // the memory that is left.
  Engine& require(const std::string& name) const;
  Engine& require_embedder(const std::string& name) const;  // the same; an empty name means the embedder
  std::vector<std::string> names() const;                   // of all that require() knows
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  Engine* load(const Workspace& workspace, const std::string& name, const EngineOptions& options, bool required);
  Engine* load_later(const Workspace& workspace, const std::string& name, const EngineOptions& options);
  std::map<std::string, std::unique_ptr<Engine>> engines_;
  Engine *own_ = nullptr, *embedder_ = nullptr, *writer_ = nullptr;
  std::vector<std::string> problems_;
};

}  // namespace starling
