#include "server/lazy_engine.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/time.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

void add_counts(EngineStats& sum, const EngineStats& more) {
  sum.steps += more.steps;
  sum.prompt_tokens += more.prompt_tokens;
  sum.decoded_tokens += more.decoded_tokens;
  sum.cached_tokens += more.cached_tokens;
  sum.guessed_tokens += more.guessed_tokens;
  sum.right_guesses += more.right_guesses;
  sum.preemptions += more.preemptions;
}

}  // namespace

std::shared_ptr<Engine> LazyEngine::load(const std::function<void()>& before_reading) const {
  if (std::shared_ptr<Engine> engine = loaded()) return engine;
  std::lock_guard loading(load_mutex_);
  if (std::shared_ptr<Engine> engine = loaded()) return engine;
  const fs::path tokenizer = folder_ / "tokenizer.json";
  std::error_code missing;  // Engine::load says it better
  const fs::file_time_type time = fs::last_write_time(tokenizer, missing);
  // Grammars and references of the first load go by its tokens.
  if (tokenizer_time_ && time != *tokenizer_time_)
    throw DataError(
        fmt::format("{}: it has changed since this server first read it; start the server again", tokenizer.string()));
  if (before_reading) before_reading();
  std::shared_ptr<Engine> engine = Engine::load(folder_, options_);
  tokenizer_time_ = time;
  std::lock_guard lock(mutex_);
  used_s_ = monotonic_s();
  return engine_ = std::move(engine);
}

std::shared_ptr<Engine> LazyEngine::loaded() const {
  std::lock_guard lock(mutex_);
  used_s_ = monotonic_s();
  return engine_;
}

bool LazyEngine::is_loaded() const {
  std::lock_guard lock(mutex_);
  return engine_ != nullptr;
}

bool LazyEngine::unload_if_idle(double idle_s) {
  std::shared_ptr<Engine> idle;  // freed after the lock, because that takes a while
  std::lock_guard lock(mutex_);
  if (!engine_) return false;
  // Copies are made under the lock, or of a copy: where there is one alone, no other can come.
  const bool held = engine_.use_count() > 1;
  if (held) used_s_ = monotonic_s();
  if (held || monotonic_s() - used_s_ < idle_s) return false;
  add_counts(past_, engine_->stats());
  idle = std::move(engine_);
  return true;
}

const LazyEngine::Lasting& LazyEngine::lasting() const {
  std::lock_guard lock(lasting_mutex_);
  if (!lasting_) {
    const std::shared_ptr<Engine> engine = load();
    lasting_ = std::make_unique<const Lasting>(
        Lasting{engine->config(), Tokenizer::load(folder_ / "tokenizer.json"), engine->tool_form()});
  }
  return *lasting_;
}

void LazyEngine::forget_prefixes() {
  std::lock_guard lock(mutex_);
  if (engine_) engine_->forget_prefixes();
}

EngineStats LazyEngine::stats() const {
  std::lock_guard lock(mutex_);
  EngineStats stats = engine_ ? engine_->stats() : EngineStats{};
  add_counts(stats, past_);
  return stats;
}

}  // namespace starling
