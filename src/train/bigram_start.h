// A start from the data's bigrams: before the first step a model whose head is its own already knows which token
// follows which, as far as its width can hold that, and so saves the steps that would find it.
//
//   S(t, v) = log(1 + max(c(t, v) - D, 0) / (mu p(v)))          D = 0.75, mu = 20
// with c(t, v) how often v follows t and p(v) v's share of all tokens. Up to a number of t, which softmax does not see,
// it is log of p(v | t) / p(v), p(v | t) smoothed by mu tokens drawn from p and counts discounted by D. S is
// nonnegative and sparse, and W S W ~ E H^T of rank C - 1, W = diag(V p), from two passes of subspace iteration, with
// each direction's size shared evenly between E and H. Embedding rows are (W^-1 E, k), rows of the head (W^-1 H, log
// p), where k fills each embedding up to one length, so that the final norm leaves the products as they are. A
// reflection spreads the last coordinate over all. What blocks add to the residual stream begins at a twentieth of its
// usual size.
//
// Sources: Levy & Goldberg 2014, "Neural word embedding as implicit matrix factorization" (log-ratios as a product of
// two tables); Halko, Martinsson & Tropp 2011, arXiv:0909.4061 (the factors); Church & Gale 1991 (the discount).
#pragma once

#include <cstdint>
#include <functional>

#include "model/parameters.h"
#include "tokenizer/tokenizer.h"
#include "train/sample_source.h"

namespace starling {

// Counts the first samples of the first epoch's order, masked ones left out, up to 2^24 tokens, and sets embedding,
// head and the matrices that write to the residual stream. on_read gets each sample that is counted: the model has seen
// it. Returns their number. The head must not be tied. The same bits for the same arguments on one machine.
int64_t start_from_bigrams(Parameters& parameters, const ModelConfig& config, const SampleSource& samples,
                           uint64_t seed, TokenId begin_token, const std::function<void(const Sample&)>& on_read = {});

}  // namespace starling
