#include "server/models.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "server/http.h"
#include "server/lazy_engine.h"

namespace starling {

Models::Models(const Workspace& workspace, const ServerOptions& options) {
  const EngineOptions engine{.weights = options.weights, .cache = options.cache, .cache_tokens = options.cache_tokens};
  own_ = load(workspace, options.model, engine, true);
  embedder_ = load(workspace, options.embedder, engine, false);
  if (!embedder_) embedder_ = own_;
  writer_ = own_;
  if (std::filesystem::exists(workspace.model(options.writer) / "config.json") && !engines_.contains(options.writer))
    writer_ = (engines_[options.writer] = std::make_unique<LazyEngine>(workspace.model(options.writer), engine)).get();
}

Engine* Models::load(const Workspace& workspace, const std::string& name, const EngineOptions& options, bool required) {
  const auto known = engines_.find(name);
  if (known != engines_.end()) return known->second.get();
  if (!std::filesystem::exists(workspace.model(name) / "config.json")) {
    if (required)
      problems_.push_back(
          fmt::format("there is no model `{}`; make it with `starling train` or `starling import`", name));
    return nullptr;
  }
  try {
    return (engines_[name] = Engine::load(workspace.model(name), options)).get();
  } catch (const Error& error) {
    spdlog::error("model {}: {}", name, error.what());
    engines_.erase(name);
    problems_.push_back(fmt::format("the model `{}` cannot be loaded; the server's log says why", name));
    return nullptr;
  }
}

Engine& Models::require(const std::string& name) const {
  const auto known = engines_.find(name);
  if (known != engines_.end()) return *known->second;
  const std::string here =
      engines_.empty() ? "this server has none" : fmt::format("it has {}", fmt::join(names(), ", "));
  throw HttpError(404, "model_not_found", fmt::format("this server has no model `{}`; {}", name, here), "model");
}

Engine& Models::require_embedder(const std::string& name) const {
  if (!name.empty()) return require(name);
  if (embedder_) return *embedder_;
  throw HttpError(404, "model_not_found", "this server has no model to embed with", "model");
}

std::vector<std::string> Models::names() const {
  std::vector<std::string> found;
  for (const auto& [name, engine] : engines_) found.push_back(name);
  return found;
}

}  // namespace starling
