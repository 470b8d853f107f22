// The language models a server answers with: the platform's own, its embedder, and the writer of ads and answers.
// A model that is missing or damaged leaves its place empty; problems() says why.
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
         const ServerOptions& options);  // loads the own model and the embedder, not the writer

  Engine* own() const { return own_; }
  Engine* embedder() const { return embedder_; }            // the own model when there is no embedder
  Engine* writer() const { return writer_; }                // the own model when there is no writer
  Engine& require(const std::string& name) const;           // throws HttpError 404 model_not_found
  Engine& require_embedder(const std::string& name) const;  // the same; an empty name means the embedder
  std::vector<std::string> names() const;
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  Engine* load(const Workspace& workspace, const std::string& name, const EngineOptions& options, bool required);
  std::map<std::string, std::unique_ptr<Engine>> engines_;
  Engine *own_ = nullptr, *embedder_ = nullptr, *writer_ = nullptr;
  std::vector<std::string> problems_;
};

}  // namespace starling
