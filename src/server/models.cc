#include "server/models.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/memory_limit.h"
#include "core/stop.h"
#include "infer/weights.h"
#include "server/http.h"
#include "server/lazy_engine.h"

namespace starling {
namespace {

// The files are a measure, not the need: weights may shrink to 8 bits, and keys and values come on top. It keeps a
// request from ending the server for want of memory where that is evident.
void require_memory_for(const LazyEngine& engine) {
  const uint64_t bytes = weight_file_bytes(engine.folder()), left = static_cast<uint64_t>(memory_left_bytes());
  if (bytes > left)
    throw HttpError(503, "model_unavailable",
                    fmt::format("the model `{}` has {:.1f} GB of weights, and {:.1f} GB of memory are left",
                                engine.name(), static_cast<double>(bytes) / 1e9, static_cast<double>(left) / 1e9),
                    "model");
}

std::shared_ptr<Engine> load_now(const LazyEngine& engine) {
  const std::string name = engine.name();
  try {
    return engine.load([&] { require_memory_for(engine); });
  } catch (const HttpError&) {
    throw;
  } catch (const std::exception& error) {
    spdlog::error("model {}: {}", name, error.what());
    throw HttpError(503, "model_unavailable",
                    fmt::format("the model `{}` cannot be loaded; the server's log says why", name), "model");
  }
}

}  // namespace

Models::Models(const Workspace& workspace, const ServerOptions& options) {
  const EngineOptions engine{.weights = options.weights, .cache = options.cache, .cache_tokens = options.cache_tokens};
  own_ = load(workspace, options.model, engine, true);
  embedder_ = load(workspace, options.embedder, engine, false);
  if (!embedder_) embedder_ = own_;
  writer_ = load_later(workspace, options.writer, engine);
  if (!writer_) writer_ = own_;
  for (const std::string& name : options.models)
    if (!load_later(workspace, name, engine))
      problems_.push_back(fmt::format("there is no model `{}`, which server.models names", name));
  if (options.model_idle_s > 0) unloader_ = std::thread([this, idle_s = options.model_idle_s] { unload_idle(idle_s); });
}

Models::~Models() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  if (unloader_.joinable()) unloader_.join();
}

// Looks so often that a model stays at most a quarter longer than it should.
void Models::unload_idle(double idle_s) {
  const std::chrono::duration<double> pause(std::clamp(idle_s / 4, 0.01, 10.0));
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, pause, [this] { return stopping_; }))
    for (const auto& [name, engine] : engines_)
      if (auto* lazy = dynamic_cast<LazyEngine*>(engine.get()); lazy && lazy->unload_if_idle(idle_s))
        spdlog::info("the model {} is freed: nobody used it for {} s", name, idle_s);
}

Models::Place Models::load_later(const Workspace& workspace, const std::string& name, const EngineOptions& options) {
  Place& place = engines_[name];
  if (!place && std::filesystem::exists(workspace.model(name) / "config.json"))
    place = std::make_shared<LazyEngine>(workspace.model(name), options);
  if (place) return place;
  engines_.erase(name);
  return nullptr;
}

Models::Place Models::load(const Workspace& workspace, const std::string& name, const EngineOptions& options,
                           bool required) {
  const auto known = engines_.find(name);
  if (known != engines_.end()) return known->second;
  if (!std::filesystem::exists(workspace.model(name) / "config.json")) {
    if (required)
      problems_.push_back(
          fmt::format("there is no model `{}`; make it with `starling train` or `starling import`", name));
    return nullptr;
  }
  try {
    return engines_[name] = Engine::load(workspace.model(name), options);
  } catch (const Error& error) {
    if (stop_requested()) throw;
    spdlog::error("model {}: {}", name, error.what());
    engines_.erase(name);
    problems_.push_back(fmt::format("the model `{}` cannot be loaded; the server's log says why", name));
    return nullptr;
  }
}

const Models::Place& Models::place(const std::string& name) const {
  const auto known = engines_.find(name);
  if (known != engines_.end()) return known->second;
  const std::string here =
      engines_.empty() ? "this server has none" : fmt::format("it has {}", fmt::join(names(), ", "));
  throw HttpError(404, "model_not_found", fmt::format("this server has no model `{}`; {}", name, here), "model");
}

Engine& Models::find(const std::string& name) const { return *place(name); }

std::shared_ptr<Engine> Models::require(const std::string& name) const {
  const Place& engine = place(name);
  const auto* lazy = dynamic_cast<const LazyEngine*>(engine.get());
  return lazy ? load_now(*lazy) : engine;
}

std::shared_ptr<Engine> Models::require_embedder(const std::string& name) const {
  if (!name.empty()) return require(name);
  if (embedder_) return embedder_;
  throw HttpError(404, "model_not_found", "this server has no model to embed with", "model");
}

bool Models::is_loaded(const std::string& name) const {
  const auto* lazy = dynamic_cast<const LazyEngine*>(place(name).get());
  return !lazy || lazy->is_loaded();
}

void Models::forget_prefixes() const {
  for (const auto& [name, engine] : engines_) engine->forget_prefixes();
}

std::vector<std::string> Models::names() const {
  std::vector<std::string> found;
  for (const auto& [name, engine] : engines_) found.push_back(name);
  return found;
}

}  // namespace starling
