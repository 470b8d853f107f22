#include "app/sampling_flags.h"

#include <nlohmann/json.hpp>

namespace starling {

const char* name_of(FinishReason reason) {
  return reason == FinishReason::stop ? "stop" : reason == FinishReason::length ? "length" : "cancelled";
}

void add_sampling_flags(Command command, SamplingOptions& sampling) {
  command.add_option("-n,--max-tokens", sampling.max_tokens, "At most so many tokens").show_default();
  command.add_option("-t,--temperature", sampling.temperature, "0: always the most probable token").show_default();
  command.add_option("--top-k", sampling.top_k, "Keep the k most probable tokens; 0: all").show_default();
  command.add_option("--top-p", sampling.top_p, "Keep the fewest tokens with this probability together").show_default();
  command.add_option("--min-p", sampling.min_p, "Keep tokens with this share of the largest probability")
      .show_default();
  command.add_option("--seed", sampling.seed, "Same seed, same text").show_default();
  command.add_option("--stop", sampling.stop, "End before this text (repeatable)").one_value_each();
}

nlohmann::ordered_json to_json(const Generation& g) {
  return {{"text", g.text},
          {"finish", name_of(g.finish)},
          {"prompt_tokens", g.prompt_tokens},
          {"cached_tokens", g.cached_tokens},
          {"completion_tokens", g.completion_tokens},
          {"prefill_s", g.prefill_s},
          {"decode_s", g.decode_s}};
}

// The first token comes out of the prompt's pass, so decoding made one token less.
double decode_tokens_per_s(const Generation& g) {
  return g.decode_s > 0 ? (g.completion_tokens - 1) / g.decode_s : 0.0;
}

}  // namespace starling
