#include "infer/divergence.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/progress.h"
#include "core/stop.h"

namespace starling {
namespace {

constexpr int64_t kChunk = 64;  // positions whose logits are in memory at once

// log p of one row of logits.
void log_softmax(std::span<const float> logits, std::vector<double>& log_p) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  const double normal = largest + std::log(sum);
  log_p.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) log_p[i] = logits[i] - normal;
}

size_t first_of(const std::vector<double>& log_p) {
  return static_cast<size_t>(std::max_element(log_p.begin(), log_p.end()) - log_p.begin());
}

void add_position(Divergence& d, const std::vector<double>& p, const std::vector<double>& q, TokenId next) {
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
  ++d.positions;
  d.mean_kl += kl;
  d.largest_kl = std::max(d.largest_kl, kl);
  d.same_first += first_of(p) == first_of(q);
  d.reference_nats -= p[static_cast<size_t>(next)];
  d.other_nats -= q[static_cast<size_t>(next)];
}

void add_sample(Divergence& d, Decoder& reference, Decoder& other, CacheForm other_cache_form,
                std::span<const TokenId> tokens, Progress& progress) {
  const auto vocab = static_cast<size_t>(reference.config().vocab_size);
  KvPagePool pages(reference.config()), other_pages(other.config(), other_cache_form);
  KvCache cache(pages), other_cache(other_pages);
  std::vector<float> logits, other_logits;
  std::vector<double> p, q;
  for (int64_t first = 0; first + 1 < static_cast<int64_t>(tokens.size()); first += kChunk) {
    const auto count = std::min<int64_t>(kChunk, static_cast<int64_t>(tokens.size()) - 1 - first);
    const auto run = [&](Decoder& decoder, KvCache& at, std::vector<float>& out) {
      out.resize(static_cast<size_t>(count) * vocab);
      const BatchSpan span{&at, tokens.subspan(first, count)};
      decoder.logits(decoder.forward({&span, 1}), out);
    };
    run(reference, cache, logits);
    run(other, other_cache, other_logits);
    for (int64_t i = 0; i < count; ++i) {
      log_softmax(std::span<const float>(logits).subspan(i * vocab, vocab), p);
      log_softmax(std::span<const float>(other_logits).subspan(i * vocab, vocab), q);
      add_position(d, p, q, tokens[first + i + 1]);
    }
    progress.update(static_cast<uint64_t>(d.positions));
    if (stop_requested()) throw Error("stopped before all positions were compared");
  }
}

}  // namespace

Divergence measure_divergence(Decoder& reference, Decoder& other, const std::vector<std::vector<TokenId>>& samples,
                              CacheForm other_cache) {
  Divergence d;
  const auto size_of = [&](const std::vector<TokenId>& sample) {
    return std::min<size_t>(sample.size(), static_cast<size_t>(reference.config().max_positions));
  };
  uint64_t positions = 0;
  for (const std::vector<TokenId>& sample : samples) positions += std::max<size_t>(size_of(sample), 1) - 1;
  Progress progress("Comparing", positions, "positions");
  for (const std::vector<TokenId>& sample : samples)
    add_sample(d, reference, other, other_cache, std::span(sample).first(size_of(sample)), progress);
  if (d.positions == 0) throw DataError("no sample has two tokens: there is nothing to compare on");
  for (double* sum : {&d.mean_kl, &d.same_first, &d.reference_nats, &d.other_nats})
    *sum /= static_cast<double>(d.positions);
  return d;
}

}  // namespace starling
