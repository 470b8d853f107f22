#include "infer/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <mutex>
#include <utility>

#include "core/error.h"
#include "core/time.h"
#include "infer/chat_template.h"
#include "infer/decoder.h"
#include "infer/sampler.h"
#include "infer/scheduler.h"
#include "infer/text_stream.h"
#include "infer/tool_style.h"
#include "infer/vector_math.h"
#include "infer/weights.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxPositions = int64_t{1} << 22;

// Samples one token after another. The text is handed to the caller's thread through take_text().
class GenerationSequence : public Sequence {
 public:
  // `ends`: what ends an answer, in order; outlives the sequence, as the tokenizer does.
  GenerationSequence(const std::vector<TokenId>& prompt, const SamplingOptions& options, int most,
                     const Tokenizer& tokenizer, const std::vector<TokenId>& ends)
      : Sequence(prompt),
        options_(options),
        most_(most),
        tokenizer_(tokenizer),
        ends_(ends),
        text_(options.stop),
        chooser_(options_, most, prompt) {
    result_.prompt_tokens = static_cast<int>(prompt.size());
    if (options.prompt_logprobs) result_.scored_prompt.push_back({.token = prompt[0], .logprob = std::nanf("")});
  }

  bool wants_logits(int64_t position) const override {
    const auto next = position + 1, end = static_cast<int64_t>(tokens.size());
    return (next == end && most_ > 0) || (options_.prompt_logprobs && next < end);
  }
  bool ended() const override { return ended_ || cancelled_; }
  int64_t unread_positions() const override { return options_.prompt_logprobs ? 0 : result_.prompt_tokens - 1; }
  int64_t most_positions() const override { return result_.prompt_tokens + most_; }
  bool speculates() const override { return true; }

  void take_logits(int64_t position, std::span<const float> logits) override {
    logits = logits.first(std::min<size_t>(logits.size(), static_cast<size_t>(tokenizer_.vocab_size())));
    if (position + 1 < static_cast<int64_t>(tokens.size())) return score_prompt(position, logits);
    const double now = monotonic_s();
    (result_.completion_tokens == 0 ? result_.prefill_s : result_.decode_s) += now - last_s_;
    last_s_ = now;
    try {
      take_token(chooser_.choose(logits), logits);
    } catch (...) {  // the constraint's limits: this sequence ends, its neighbours go on
      error_ = std::current_exception();
      end(FinishReason::stop);
    }
  }

  // On the caller's thread.
  struct Ready {
    std::string text;
    std::vector<ScoredToken> tokens;
  };
  Ready take_ready() {
    {
      std::lock_guard lock(mutex_);
      if (!ready_.text.empty() || ended_) return std::exchange(ready_, {});
    }
    chooser_.prepare();
    return {};
  }
  void cancel() { cancelled_ = true; }
  bool cancelled() const { return cancelled_; }
  Generation result() {  // after the job; a caller that cancelled hears so even when the job had run ahead of it
    if (error_) std::rethrow_exception(error_);
    if (cancelled_ || (!ended_ && most_ > 0)) result_.finish = FinishReason::cancelled;
    else if (most_ == 0) result_.finish = FinishReason::length;
    result_.cached_tokens = static_cast<int>(cached_positions());
    return std::move(result_);
  }

 private:
  void score_prompt(int64_t position, std::span<const float> logits) {
    result_.scored_prompt.push_back(score_token(logits, tokens[static_cast<size_t>(position + 1)], options_.logprobs));
  }
  void take_token(TokenId id, std::span<const float> logits) {
    ++result_.completion_tokens;
    const std::string* spelled = spelled_text(id);
    const bool special = !spelled && std::binary_search(ends_.begin(), ends_.end(), id);
    if (!special && options_.logprobs >= 0) note_score(score_token(logits, id, options_.logprobs));
    const bool last = special || result_.completion_tokens >= most_ || chooser_.complete();
    std::string text = special ? std::string() : text_.push(spelled ? *spelled : tokenizer_.token_bytes(id));
    if (last) text += text_.finish();
    add_text(text);
    if (special || text_.stopped() || chooser_.complete()) return end(FinishReason::stop);
    if (last) return end(FinishReason::length);
    tokens.push_back(id);
  }
  const std::string* spelled_text(TokenId id) const {
    const auto found = std::ranges::find(options_.spelled, id, &SpecialToken::id);
    return found == options_.spelled.end() ? nullptr : &found->text;
  }
  void end(FinishReason reason) {
    std::lock_guard lock(mutex_);
    result_.finish = reason;
    ended_ = true;
  }
  void note_score(ScoredToken scored) {
    starts_.push_back(bytes_);
    const std::string* spelled = spelled_text(scored.token);
    bytes_ += spelled ? spelled->size() : tokenizer_.token_bytes(scored.token).size();
    result_.tokens.push_back(std::move(scored));
  }
  // A token is told with the first text that it gives; those of a stop string are told to nobody.
  void add_text(const std::string& text) {
    std::lock_guard lock(mutex_);
    ready_.text += text;
    result_.text += text;
    const size_t given = text_.bytes_given();
    if (text_.stopped()) {
      while (!starts_.empty() && starts_.back() >= given) starts_.pop_back(), result_.tokens.pop_back();
    }
    for (; told_ < result_.tokens.size() && starts_[told_] < given; ++told_)
      ready_.tokens.push_back(result_.tokens[told_]);
  }

  SamplingOptions options_;
  int most_;
  const Tokenizer& tokenizer_;
  const std::vector<TokenId>& ends_;
  TextStream text_;
  TokenChooser chooser_;
  Generation result_;
  std::vector<size_t> starts_;  // of result_.tokens in the bytes of the text
  size_t bytes_ = 0, told_ = 0;
  double last_s_ = monotonic_s();
  std::atomic<bool> ended_ = false;
  std::atomic<bool> cancelled_ = false;
  std::exception_ptr error_;
  std::mutex mutex_;
  Ready ready_;
};

// log sum_i exp(x_i), in one fixed order.
double log_sum_exp(std::span<const float> x) {
  const float largest = max_of(x);
  __m256 sums = _mm256_setzero_ps();
  for (size_t i = 0; i < x.size(); i += 8) {
    const auto left = static_cast<int64_t>(x.size() - i);
    const __m256 exponential = exp8(_mm256_sub_ps(load8(x.data() + i, left), _mm256_set1_ps(largest)));
    sums = _mm256_add_ps(sums, first8(exponential, left));
  }
  return static_cast<double>(largest) + std::log(static_cast<double>(sum8(sums)));
}

// Sums log p of the tokens from `first` on.
class ScoreSequence : public Sequence {
 public:
  ScoreSequence(std::vector<TokenId> all, int64_t first) : Sequence(std::move(all)), first_(first) {}
  bool wants_logits(int64_t position) const override {
    return position + 1 >= first_ && position + 1 < static_cast<int64_t>(tokens.size());
  }
  int64_t unread_positions() const override { return first_ - 1; }
  void take_logits(int64_t position, std::span<const float> logits) override {
    total_ += static_cast<double>(logits[tokens[position + 1]]) - log_sum_exp(logits);
  }
  double total() const { return total_; }

 private:
  int64_t first_;
  double total_ = 0;
};

class EmbeddingSequence : public Sequence {
 public:
  EmbeddingSequence(std::vector<TokenId> all, int64_t width) : Sequence(std::move(all)), sum_(width) {}
  void take_hidden(int64_t, std::span<const float> hidden) override {
    for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += hidden[i];
  }
  // The direction of the sum is that of the mean.
  std::vector<float> normalised() const {
    double squares = 0;
    for (float value : sum_) squares += static_cast<double>(value) * value;
    const double scale = squares > 0 ? 1.0 / std::sqrt(squares) : 0.0;
    std::vector<float> unit(sum_.size());
    for (size_t i = 0; i < unit.size(); ++i) unit[i] = static_cast<float>(sum_[i] * scale);
    return unit;
  }

 private:
  std::vector<float> sum_;
};

int64_t cache_tokens(const EngineOptions& options, const ModelConfig& config) {
  if (options.cache_tokens > 0) return options.cache_tokens;
  constexpr int64_t kBytes = int64_t{1} << 30;
  const int64_t pages = kBytes / KvPagePool(config, options.cache).page_bytes();
  return std::min(pages * kPagePositions, 64 * config.max_positions);
}

class LlamaEngine : public Engine {
 public:
  LlamaEngine(std::string name, std::unique_ptr<Tokenizer> tokenizer, std::optional<ChatTemplate> chat_template,
              const ModelConfig& config, LlamaWeights weights, const EngineOptions& options)
      : name_(std::move(name)),
        tokenizer_(std::move(tokenizer)),
        chat_template_(std::move(chat_template)),
        tool_form_(chat_template_ && chat_template_->tools ? chat_template_->tools->form() : own_tool_form()),
        decoder_(config, std::move(weights)),
        scheduler_(decoder_, cache_tokens(options, config), options.cache) {
    for (const SpecialToken& special : tokenizer_->special_tokens()) ends_.push_back(special.id);
    ends_.push_back(static_cast<TokenId>(config.eos_token));
    ends_.push_back(end_of_turn(*tokenizer_, chat_template_, text_ends()));
    std::sort(ends_.begin(), ends_.end());
  }

  const ModelConfig& config() const override { return decoder_.config(); }
  const Tokenizer& tokenizer() const override { return *tokenizer_; }
  std::string name() const override { return name_; }
  bool has_chat_template() const override { return chat_template_.has_value(); }

  Generation generate(const std::vector<TokenId>& prompt, const SamplingOptions& options,
                      const OnText& on_text) override {
    const auto one = [&](size_t, const TextPiece& piece) { return on_text(piece); };
    return std::move(generate_all({{prompt, options}}, on_text ? OnPiece(one) : OnPiece{}).front());
  }

  std::vector<Generation> generate_all(const std::vector<GenerationRequest>& requests,
                                       const OnPiece& on_piece) override {
    std::deque<GenerationSequence> sequences;
    std::vector<Sequence*> job;
    for (const GenerationRequest& request : requests) {
      const int most = check_request(request);
      sequences.emplace_back(request.prompt, request.options, most, *tokenizer_, ends_);
      if (most > 0 || request.options.prompt_logprobs) job.push_back(&sequences.back());
    }
    const auto show = [&] {
      for (size_t i = 0; i < sequences.size(); ++i) {
        const GenerationSequence::Ready ready = sequences[i].take_ready();
        const bool tell = on_piece && !ready.text.empty() && !sequences[i].cancelled();
        if (tell && !on_piece(i, {ready.text, ready.tokens})) sequences[i].cancel();
      }
    };
    if (!job.empty()) {
      const Service& service = requests.front().options.service;
      scheduler_.run(job, show, service);
      if (service.is_cancelled()) std::ranges::for_each(sequences, &GenerationSequence::cancel);
    }
    std::vector<Generation> results;
    for (GenerationSequence& sequence : sequences) results.push_back(sequence.result());
    return results;
  }

  std::vector<TokenId> chat_prompt(const std::vector<ChatMessage>& messages) const override {
    return encode_chat(*tokenizer_, chat_template_, messages, text_ends());
  }
  std::vector<TokenId> tool_prompt(const std::vector<ChatMessage>& messages,
                                   const std::vector<std::string>& tools) const override {
    return encode_chat(*tokenizer_, chat_template_, messages, text_ends(), tools);
  }
  const ToolForm& tool_form() const override { return tool_form_; }

  std::vector<float> embed(std::string_view text) override { return embed_batch({std::string(text)}).front(); }

  std::vector<std::vector<float>> embed_batch(const std::vector<std::string>& texts) override {
    std::vector<std::vector<TokenId>> inputs;
    for (const std::string& text : texts) {
      std::vector<TokenId>& ids = inputs.emplace_back(text_tokens(text));
      if (ids.size() > static_cast<size_t>(config().max_positions)) ids.resize(config().max_positions);
    }
    return embed_tokens(inputs, {});
  }

  std::vector<std::vector<float>> embed_tokens(const std::vector<std::vector<TokenId>>& inputs,
                                               const Service& service) override {
    std::deque<EmbeddingSequence> sequences;
    std::vector<Sequence*> job;
    for (const std::vector<TokenId>& ids : inputs) {
      check_tokens(ids);
      check_context(ids.size());
      if (ids.empty()) throw DataError("an input to embed needs at least one token");
      job.push_back(&sequences.emplace_back(ids, config().hidden_size));
    }
    if (!job.empty()) scheduler_.run(job, {}, service);
    if (service.is_cancelled()) return {};
    std::vector<std::vector<float>> embeddings;
    for (const EmbeddingSequence& sequence : sequences) embeddings.push_back(sequence.normalised());
    return embeddings;
  }

  double log_likelihood(std::string_view prefix, std::string_view continuation) override {
    return log_likelihoods(prefix, {std::string(continuation)}, {}).front();
  }

  std::vector<double> log_likelihoods(std::string_view prefix, const std::vector<std::string>& continuations,
                                      const Service& service) override {
    const std::vector<TokenId> before = text_tokens(prefix);
    std::deque<ScoreSequence> sequences;
    for (const std::string& continuation : continuations) {
      const ScoredText text = scored_text(before, std::string(prefix) + continuation);
      check_context(text.tokens.size());
      sequences.emplace_back(text.tokens, text.border);
    }
    // The first one leaves the prefix in the cache for the others.
    std::vector<Sequence*> job;
    for (ScoreSequence& sequence : sequences) job.push_back(&sequence);
    const size_t alone = std::min<size_t>(1, job.size());
    for (const std::span<Sequence*> part : {std::span(job).first(alone), std::span(job).subspan(alone)})
      if (!part.empty()) scheduler_.run(part, {}, service);
    if (service.is_cancelled()) return {};
    std::vector<double> totals;
    for (const ScoreSequence& sequence : sequences) totals.push_back(sequence.total());
    return totals;
  }

  void forget_prefixes() override { scheduler_.forget_prefixes(); }
  EngineStats stats() const override { return scheduler_.stats(); }

 private:
  TextEnds text_ends() const {
    return {static_cast<TokenId>(config().bos_token), static_cast<TokenId>(config().eos_token)};
  }
  // How many tokens there is room for.
  int check_request(const GenerationRequest& request) const {
    check_sampling(request.options);
    check_tokens(request.prompt);
    const auto room = config().max_positions - static_cast<int64_t>(request.prompt.size());
    if (request.prompt.empty()) throw DataError("a prompt needs at least one token");
    if (room < 0 || (room == 0 && request.options.max_tokens > 0)) {
      throw DataError(fmt::format("the prompt's {} tokens fill the model's context of {}; shorten it",
                                  request.prompt.size(), config().max_positions));
    }
    return static_cast<int>(std::min<int64_t>(request.options.max_tokens, room));
  }
  void check_context(size_t tokens) const {
    if (tokens > static_cast<size_t>(config().max_positions))
      throw DataError(fmt::format("{} tokens are more than the model's context of {}; shorten the text", tokens,
                                  config().max_positions));
  }
  void check_tokens(const std::vector<TokenId>& ids) const {
    for (TokenId id : ids) {
      if (id < 0 || id >= config().vocab_size)
        throw DataError(fmt::format("token {} is outside the vocabulary of {}", id, config().vocab_size));
    }
  }

  std::string name_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  ToolForm tool_form_;
  std::vector<TokenId> ends_;  // of an answer, in order
  Decoder decoder_;
  Scheduler scheduler_;
};

// "models/x/" and "models/x" are the same folder.
std::string folder_name(const fs::path& folder) {
  const fs::path normal = fs::absolute(folder).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

}  // namespace

std::unique_ptr<Engine> Engine::load(const fs::path& folder, const EngineOptions& options) {
  if (!fs::is_directory(folder)) {
    throw IoError(fmt::format("{}: no such model folder; train a model or run `starling import`", folder.string()));
  }
  ModelConfig config = ModelConfig::load(folder / "config.json");
  std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(folder / "tokenizer.json");
  if (tokenizer->vocab_size() > config.vocab_size) {
    throw DataError(fmt::format("{}: tokenizer.json has {} tokens, the model only {}; they do not belong together",
                                folder.string(), tokenizer->vocab_size(), config.vocab_size));
  }
  if (config.max_positions > kMaxPositions) {
    throw DataError(fmt::format("{}: config.json: max_position_embeddings {} is not believable", folder.string(),
                                config.max_positions));
  }
  const std::unique_ptr<WeightSource> source = open_weights(folder, config);
  LlamaWeights weights = load_weights(*source, config, options.weights);
  if (options.max_context_tokens > 0)
    config.max_positions = std::min<int64_t>(config.max_positions, options.max_context_tokens);
  return std::make_unique<LlamaEngine>(folder_name(folder), std::move(tokenizer), load_chat_template(folder), config,
                                       std::move(weights), options);
}

std::string_view without_first_space(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
  return text;
}

std::vector<double> Engine::log_likelihoods(std::string_view prefix, const std::vector<std::string>& continuations,
                                            const Service&) {
  std::vector<double> totals;
  for (const std::string& continuation : continuations) totals.push_back(log_likelihood(prefix, continuation));
  return totals;
}

std::vector<Generation> Engine::generate_all(const std::vector<GenerationRequest>& requests, const OnPiece& on_piece) {
  std::vector<Generation> results;
  for (size_t i = 0; i < requests.size(); ++i) {
    const OnText show = [&](const TextPiece& piece) { return on_piece(i, piece); };
    results.push_back(generate(requests[i].prompt, requests[i].options, on_piece ? show : OnText{}));
  }
  return results;
}

const ToolForm& Engine::tool_form() const { return own_tool_form(); }

std::vector<TokenId> Engine::tool_prompt(const std::vector<ChatMessage>& messages,
                                         const std::vector<std::string>& tools) const {
  return chat_prompt(in_own_words(messages, tools));
}

std::vector<TokenId> Engine::text_tokens(std::string_view text) const {
  const auto begin = static_cast<TokenId>(config().bos_token);
  std::vector<TokenId> ids = tokenizer().opening_tokens(begin);
  tokenizer().append_tokens(text, ids);
  if (ids.empty()) ids.push_back(begin);
  return ids;
}

Engine::ScoredText Engine::scored_text(std::span<const TokenId> prefix_tokens, std::string_view text) const {
  ScoredText scored{text_tokens(text)};
  std::vector<TokenId>& ids = scored.tokens;
  scored.border = static_cast<size_t>(std::ranges::mismatch(prefix_tokens, ids).in1 - prefix_tokens.begin());
  if (scored.border > 0) return scored;
  ids.insert(ids.begin(), static_cast<TokenId>(config().bos_token));  // what is scored stands after something
  return {std::move(ids), 1};
}

Generation Engine::complete(std::string_view prompt, const SamplingOptions& options, const OnText& on_text) {
  return generate(text_tokens(prompt), options, on_text);
}

Generation Engine::chat(const std::vector<ChatMessage>& messages, const SamplingOptions& options,
                        const OnText& on_text) {
  bool begun = false;
  const OnText show = [&](const TextPiece& piece) {
    const std::string_view text = begun ? piece.text : without_first_space(piece.text);
    begun |= !text.empty();
    return text.empty() || on_text({text, piece.tokens});
  };
  Generation generation = generate(chat_prompt(messages), options, on_text ? show : OnText{});
  generation.text = std::string(without_first_space(generation.text));
  return generation;
}

}  // namespace starling
