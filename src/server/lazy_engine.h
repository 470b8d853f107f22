// An engine that is loaded at its first use, so that a server with a large writer starts at once, and then stays.
// Thread-safe. A load that fails throws what Engine::load throws, and is tried again at the next use.
#pragma once

#include <atomic>
#include <mutex>

#include "infer/engine.h"

namespace starling {

class LazyEngine final : public Engine {
 public:
  LazyEngine(std::filesystem::path folder, const EngineOptions& options)
      : folder_(std::move(folder)), options_(options) {}

  const ModelConfig& config() const override { return loaded().config(); }
  const Tokenizer& tokenizer() const override { return loaded().tokenizer(); }
  std::string name() const override { return folder_.filename().string(); }
  bool has_chat_template() const override { return loaded().has_chat_template(); }
  using Engine::chat;
  Generation generate(const std::vector<TokenId>& prompt, const SamplingOptions& options,
                      const OnText& on_text) override {
    return loaded().generate(prompt, options, on_text);
  }
  std::vector<Generation> generate_all(const std::vector<GenerationRequest>& requests,
                                       const OnPiece& on_piece) override {
    return loaded().generate_all(requests, on_piece);
  }
  std::vector<TokenId> chat_prompt(const std::vector<ChatMessage>& messages) const override {
    return loaded().chat_prompt(messages);
  }
  std::vector<float> embed(std::string_view text) override { return loaded().embed(text); }
  std::vector<std::vector<float>> embed_batch(const std::vector<std::string>& texts) override {
    return loaded().embed_batch(texts);
  }
  std::vector<std::vector<float>> embed_tokens(const std::vector<std::vector<TokenId>>& inputs,
                                               const Service& service) override {
    return loaded().embed_tokens(inputs, service);
  }
  double log_likelihood(std::string_view prefix, std::string_view continuation) override {
    return loaded().log_likelihood(prefix, continuation);
  }
  std::vector<double> log_likelihoods(std::string_view prefix, const std::vector<std::string>& continuations,
                                      const Service& service) override {
    return loaded().log_likelihoods(prefix, continuations, service);
  }
  EngineStats stats() const override {  // neither loads nor waits for a load
    const Engine* engine = ready_;
    return engine ? engine->stats() : EngineStats{};
  }

  bool is_loaded() const { return ready_ != nullptr; }
  void load() { loaded(); }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  Engine& loaded() const {
    if (Engine* engine = ready_) return *engine;
    std::lock_guard lock(mutex_);
    if (!engine_) engine_ = Engine::load(folder_, options_);
    ready_ = engine_.get();
    return *engine_;
  }
  const std::filesystem::path folder_;
  const EngineOptions options_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<Engine> engine_;
  mutable std::atomic<Engine*> ready_ = nullptr;
};

}  // namespace starling
