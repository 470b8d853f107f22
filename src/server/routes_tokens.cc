// Beyond OpenAI's reference: tokens of a text and back, and log-likelihoods of many candidates after one prefix.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/time.h"
#include "server/completion_call.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"

namespace starling {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMaxCandidates = 4096, kMaxTokens = 1 << 20;
constexpr size_t kPart = 256;  // candidates of one job: what the scheduler looks through at every step

std::vector<std::string> candidates_of(const JsonBody& body) {
  const json& list = body.require("candidates");
  const auto is_text = [](const json& item) { return item.is_string() && !item.get_ref<const std::string&>().empty(); };
  if (!list.is_array() || list.empty() || list.size() > kMaxCandidates ||
      !std::all_of(list.begin(), list.end(), is_text))
    throw wrong_field("candidates", fmt::format("a list of 1 to {} strings, none empty", kMaxCandidates));
  return list.get<std::vector<std::string>>();
}

}  // namespace

Response tokenize_text(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const std::shared_ptr<Engine> held = platform.models.require(body.text("model"));
  const Engine& engine = *held;
  const std::string text = body.text("text", "");
  const std::vector<TokenId> tokens =
      body.boolean("add_special_tokens", false) ? engine.text_tokens(text) : engine.tokenizer().encode(text);
  ordered_json pieces = ordered_json::array();
  for (const TokenId token : tokens) pieces.push_back(engine.tokenizer().token_bytes(token));
  return json_response(ordered_json{{"model", engine.name()},
                                    {"tokens", tokens},
                                    {"pieces", std::move(pieces)},
                                    {"count", tokens.size()},
                                    {"max_model_len", engine.config().max_positions}});
}

Response detokenize_text(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const std::shared_ptr<Engine> held = platform.models.require(body.text("model"));
  const Engine& engine = *held;
  const json& list = body.require("tokens");
  const auto is_token = [&](const json& item) {
    return item.is_number_integer() && item >= 0 && item < engine.tokenizer().vocab_size();
  };
  if (!list.is_array() || list.size() > kMaxTokens || !std::all_of(list.begin(), list.end(), is_token))
    throw wrong_field("tokens", fmt::format("a list of token ids from 0 to {}", engine.tokenizer().vocab_size() - 1));
  return json_response(
      ordered_json{{"model", engine.name()}, {"text", engine.tokenizer().decode(list.get<std::vector<TokenId>>())}});
}

// Every candidate's log p(candidate | prefix) in nats.
Response score_candidates(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const std::shared_ptr<Engine> held = platform.models.require(body.text("model"));
  Engine& engine = *held;
  const std::string prefix = body.text("prefix", "");
  const std::vector<std::string> candidates = candidates_of(body);
  const auto context = static_cast<size_t>(engine.config().max_positions);
  const std::vector<TokenId> prefix_tokens = engine.text_tokens(prefix);
  ordered_json data = ordered_json::array();
  int64_t total = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Engine::ScoredText text = engine.scored_text(prefix_tokens, prefix + candidates[i]);
    const size_t tokens = text.tokens.size();
    if (tokens > context)
      throw HttpError(
          400, "context_length_exceeded",
          fmt::format("candidate {} has {} tokens with its prefix; the model's context is {}", i, tokens, context),
          "candidates");
    total += static_cast<int64_t>(tokens);
    data.push_back({{"object", "score"}, {"index", i}, {"tokens", tokens - text.border}});
  }
  const Service service = service_of(body, request);
  const auto quota = platform.quota.reserve(request.key, total, now_s());
  for (size_t first = 0; first < candidates.size() && !service.is_cancelled(); first += kPart) {
    const std::vector<std::string> part(
        candidates.begin() + static_cast<long>(first),
        candidates.begin() + static_cast<long>(std::min(candidates.size(), first + kPart)));
    const std::vector<double> scores = engine.log_likelihoods(prefix, part, service);
    for (size_t i = 0; i < scores.size(); ++i) data[first + i]["log_likelihood"] = scores[i];
  }
  platform.metrics.count_generation(engine.name(),
                                    {.prompt_tokens = static_cast<int>(total), .cancelled = service.is_cancelled()});
  quota->spend(total);
  return json_response(ordered_json{{"object", "list"},
                                    {"model", engine.name()},
                                    {"data", std::move(data)},
                                    {"usage", {{"prompt_tokens", total}, {"total_tokens", total}}}});
}

}  // namespace starling
