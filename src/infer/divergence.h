// How far one form of a model's weights, and of its cache, is from another, on text:
//   KL = mean over positions of sum_v p(v) log(p(v) / q(v)),  p by the reference, q by the other form; in nats
// and how often both put the same token first.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/decoder.h"

namespace starling {

struct Divergence {
  int64_t positions = 0;
  double mean_kl = 0, largest_kl = 0;
  double same_first = 0;                      // share of positions
  double reference_nats = 0, other_nats = 0;  // -log p of the text's own next token, a position
};

// Every sample is read from its beginning; samples longer than max_positions are cut. Throws DataError when no sample
// has two tokens, Error when a stop is requested.
// The reference's cache is f16.
Divergence measure_divergence(Decoder& reference, Decoder& other, const std::vector<std::vector<TokenId>>& samples,
                              CacheForm other_cache = CacheForm::f16);

}  // namespace starling
