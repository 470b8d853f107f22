// The contrastive loss of pairs of texts (a_i, b_i) with embeddings of length 1 and a temperature t:
//   loss = -1/2 mean_i [ log softmax_j(e(a_i) . e(b_j) / t)_i + log softmax_j(e(b_i) . e(a_j) / t)_i ]
// where j runs over i and the pairs of the batch that are not of i's group.
// Source: van den Oord et al. 2018, arXiv:1807.03748 (InfoNCE).
#pragma once

#include <cstdint>
#include <span>

namespace starling {

// The loss of n = groups.size() pairs; its gradients are assigned. embeddings [2n, C]: a_0..a_{n-1}, b_0..b_{n-1}, of
// length 1; gradients alike.
double info_nce(std::span<const float> embeddings, std::span<const uint64_t> groups, float temperature,
                std::span<float> gradients);

}  // namespace starling
