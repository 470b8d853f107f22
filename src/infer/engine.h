// The inference engine: one loaded model, its tokenizer and its KV caches. Thread-safe: requests of several threads are
// served in turn, a few tokens each, so that a long generation does not block a short one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/kv_cache.h"
#include "infer/service.h"
#include "infer/weights.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

namespace starling {

class GrammarConstraint;

struct TokenBias {
  TokenId token;
  float bias;  // is added to the logit
};

struct SamplingOptions {
  int max_tokens = 128;
  float temperature = 0.8f;  // 0: greedy
  int top_k = 0;             // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;
  uint64_t seed = 0;
  std::vector<std::string> stop;  // generation ends before the first of these
  Service service;                // for whom, and how urgently
  std::vector<TokenBias> logit_bias;
  std::vector<SpecialToken> spelled;                  // special tokens that are text in this answer and do not end it
  float presence_penalty = 0, frequency_penalty = 0;  // of tokens generated so far, see sampler.h
  float repetition_penalty = 1;                       // of tokens of the prompt or generated so far
  int logprobs = -1;             // from 0: report each token's log-probability and those of so many most probable ones
  bool prompt_logprobs = false;  // the prompt's tokens too
  std::shared_ptr<GrammarConstraint> constraint;  // what may be written; made for this engine's tokenizer
};

struct TokenLogprob {
  TokenId token;
  float logprob;
};

// log p by the model alone: temperature 1, before bias, penalties and constraint.
struct ScoredToken {
  TokenId token = 0;
  float logprob = 0;              // NaN for a prompt's first token, before which there is nothing
  std::vector<TokenLogprob> top;  // the most probable ones, first the most
};

// A piece of a generation's text and the tokens that begin in it, when log-probabilities are asked for.
struct TextPiece {
  std::string_view text;
  std::span<const ScoredToken> tokens = {};
  operator std::string_view() const { return text; }
};

struct ToolCall {
  std::string id;         // by which a result names its call
  std::string name;       // of the tool
  std::string arguments;  // a JSON object
};

// All of it is data: never parsed for control tokens.
struct ChatMessage {
  std::string role;  // "system", "user", "assistant"; "tool" for what a call gave
  std::string content;
  std::vector<ToolCall> calls = {};  // of an assistant, after the content
  std::string call_id = {};          // of a tool: which call this answers
};

// How a model calls a tool: `open` NAME `middle` ARGUMENTS `close`. `open` may begin with the text of a special token,
// which the answer then begins with (SamplingOptions::spelled).
struct ToolForm {
  std::string open, middle, close;
};

enum class FinishReason { stop, length, cancelled };

struct Generation {
  std::string text;
  int prompt_tokens = 0, completion_tokens = 0;
  int cached_tokens = 0;  // of the prompt: not computed again, an earlier request had the same beginning
  FinishReason finish = FinishReason::stop;
  double prefill_s = 0, decode_s = 0;
  std::vector<ScoredToken> tokens, scored_prompt;  // when log-probabilities were asked for
};

struct GenerationRequest {
  std::vector<TokenId> prompt;
  SamplingOptions options;
};

struct EngineOptions {
  int max_context_tokens = 0;  // 0: the model's max_positions
  WeightForm weights = WeightForm::automatic;
  CacheForm cache = CacheForm::f16;
  // Tokens whose keys and values are kept in memory, for sequences under way and for the prefix cache; 0: 1 GB, and not
  // more than 64 contexts. At least one context in any case.
  int64_t cache_tokens = 0;
};

// Of a chat's answer: the space that a SentencePiece word begins with is no part of it.
std::string_view without_first_space(std::string_view text);

class Engine {
 public:
  // A model folder: config.json, tokenizer.json and model.safetensors (own or Hugging Face's), or an imported GGUF
  // (model.gguf beside config.json and tokenizer.json). Throws IoError or DataError that names the missing part.
  static std::unique_ptr<Engine> load(const std::filesystem::path& model_folder, const EngineOptions& options = {});
  virtual ~Engine() = default;

  virtual const ModelConfig& config() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;
  virtual std::string name() const = 0;  // the folder's name
  virtual bool has_chat_template() const = 0;

  // Called on the caller's thread with each piece of text as it is final (whole UTF-8 characters only); false cancels.
  using OnText = std::function<bool(const TextPiece& piece)>;
  using OnPiece = std::function<bool(size_t request, const TextPiece& piece)>;  // of several requests
  // A special token, the model's end token or the chat template's, a stop string or max_tokens ends it. Throws
  // DataError for a prompt that fills the context, ConfigError for options out of range. options.service.cancelled ends
  // it at any step, before the first text too; what it then returns is FinishReason::cancelled.
  virtual Generation generate(const std::vector<TokenId>& prompt, const SamplingOptions& options,
                              const OnText& on_text = {}) = 0;
  // Several at once; each gets what it would get alone. false from `on_piece` cancels that request.
  virtual std::vector<Generation> generate_all(const std::vector<GenerationRequest>& requests,
                                               const OnPiece& on_piece = {});
  // The tokens that open a text (Tokenizer::opening_tokens), then the text as data. Never none: where nothing opens a
  // text, an empty one is the model's begin token.
  std::vector<TokenId> text_tokens(std::string_view text) const;
  // The text_tokens() of a text that continues a prefix with those of its own, and how many of them are only read: the
  // prefix's, or a begin token where the continuation changes its first. A token across the border is scored.
  struct ScoredText {
    std::vector<TokenId> tokens;
    size_t border = 0;
  };
  ScoredText scored_text(std::span<const TokenId> prefix_tokens, std::string_view text) const;
  // Plain text: its text_tokens().
  Generation complete(std::string_view prompt, const SamplingOptions& options, const OnText& on_text = {});
  // How it calls the tools that tool_prompt() told it of.
  virtual const ToolForm& tool_form() const;
  // Template text becomes control tokens, messages do not. A model without a template gets "role: content" lines.
  Generation chat(const std::vector<ChatMessage>& messages, const SamplingOptions& options, const OnText& on_text = {});
  virtual std::vector<TokenId> chat_prompt(const std::vector<ChatMessage>& messages) const = 0;
  // With tools that it may call, each as OpenAI's API has it in JSON: {"type":"function","function":{"name":…}}. They,
  // calls and results are written as the model's template does (tool_style.h), else in our own words.
  virtual std::vector<TokenId> tool_prompt(const std::vector<ChatMessage>& messages,
                                           const std::vector<std::string>& tools) const;

  // Mean of the last hidden states (after the final norm) over text_tokens(), L2-normalised;
  // hidden_size values. A text longer than the context is cut at its end.
  virtual std::vector<float> embed(std::string_view text) = 0;
  virtual std::vector<std::vector<float>> embed_batch(const std::vector<std::string>& texts) = 0;
  // The same of tokens as they are given: what opens a text is the caller's. Throws DataError for an empty list, a
  // token outside the vocabulary, or more tokens than the context. Empty when `service` was cancelled.
  virtual std::vector<std::vector<float>> embed_tokens(const std::vector<std::vector<TokenId>>& inputs,
                                                       const Service& service) = 0;
  // Sum of log p(continuation | prefix) in nats. Both are tokenized as one text; a token across the border counts.
  virtual double log_likelihood(std::string_view prefix, std::string_view continuation) = 0;
  // The same of many continuations of one prefix, which is computed once. Empty when `service` was cancelled.
  virtual std::vector<double> log_likelihoods(std::string_view prefix, const std::vector<std::string>& continuations,
                                              const Service& service = {});
  // Forgets the keys and values of earlier prompts, and those of prompts under way when they end.
  virtual void forget_prefixes() {}
  virtual EngineStats stats() const { return {}; }
};

}  // namespace starling
