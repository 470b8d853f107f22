// An engine that is loaded when it is used, so that a server with a large writer starts at once, and freed when it was
// idle for long. Thread-safe. A load that fails throws what Engine::load throws, and is tried again at the next use.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "infer/engine.h"

namespace starling {

class LazyEngine final : public Engine {
 public:
  LazyEngine(std::filesystem::path folder, const EngineOptions& options)
      : folder_(std::move(folder)), options_(options) {}

  // The engine itself, which stays as long as someone holds it. A request holds one from its beginning to its end: then
  // it is not freed in between. `before_reading` may refuse by throwing; a caller who finds the engine in memory, or
  // waits for another's load, does not ask it.
  std::shared_ptr<Engine> load(const std::function<void()>& before_reading = {}) const;
  std::shared_ptr<Engine> loaded() const;  // null when it is not in memory; does not wait for a load
  bool is_loaded() const;                  // asking is no use of it
  // Frees the engine when nobody holds it and its last use is `idle_s` ago or longer. Whoever holds it uses it: that is
  // seen when this is called, so call it often. True when it freed one.
  bool unload_if_idle(double idle_s);

  // These, and tool_form(), outlive the engine, because callers keep references to them.
  const ModelConfig& config() const override { return lasting().config; }
  const Tokenizer& tokenizer() const override { return *lasting().tokenizer; }

  const std::filesystem::path& folder() const { return folder_; }
  std::string name() const override { return folder_.filename().string(); }
  bool has_chat_template() const override { return load()->has_chat_template(); }
  using Engine::chat;
  Generation generate(const std::vector<TokenId>& prompt, const SamplingOptions& options,
                      const OnText& on_text) override {
    return load()->generate(prompt, options, on_text);
  }
  std::vector<Generation> generate_all(const std::vector<GenerationRequest>& requests,
                                       const OnPiece& on_piece) override {
    return load()->generate_all(requests, on_piece);
  }
  std::vector<TokenId> chat_prompt(const std::vector<ChatMessage>& messages) const override {
    return load()->chat_prompt(messages);
  }
  std::vector<TokenId> tool_prompt(const std::vector<ChatMessage>& messages,
                                   const std::vector<std::string>& tools) const override {
    return load()->tool_prompt(messages, tools);
  }
  const ToolForm& tool_form() const override { return lasting().tool_form; }
  std::vector<float> embed(std::string_view text) override { return load()->embed(text); }
  std::vector<std::vector<float>> embed_batch(const std::vector<std::string>& texts) override {
    return load()->embed_batch(texts);
  }
  std::vector<std::vector<float>> embed_tokens(const std::vector<std::vector<TokenId>>& inputs,
                                               const Service& service) override {
    return load()->embed_tokens(inputs, service);
  }
  double log_likelihood(std::string_view prefix, std::string_view continuation) override {
    return load()->log_likelihood(prefix, continuation);
  }
  std::vector<double> log_likelihoods(std::string_view prefix, const std::vector<std::string>& continuations,
                                      const Service& service) override {
    return load()->log_likelihoods(prefix, continuations, service);
  }
  void forget_prefixes() override;     // no use of it
  EngineStats stats() const override;  // neither loads nor waits for a load; counts go on over an unloading

 private:
  struct Lasting {
    ModelConfig config;
    std::unique_ptr<Tokenizer> tokenizer;
    ToolForm tool_form;
  };
  const Lasting& lasting() const;

  const std::filesystem::path folder_;
  const EngineOptions options_;
  mutable std::mutex lasting_mutex_;  // taken before load_mutex_, and that before mutex_
  mutable std::unique_ptr<const Lasting> lasting_;
  mutable std::mutex load_mutex_;  // held while a load lasts
  mutable std::optional<std::filesystem::file_time_type> tokenizer_time_;
  mutable std::mutex mutex_;  // held for moments
  mutable std::shared_ptr<Engine> engine_;
  mutable double used_s_ = 0;
  EngineStats past_;  // counts of engines that are freed
};

}  // namespace starling
