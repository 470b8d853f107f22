// The router of a mixture of experts: which K of E experts a token's feed-forward is, and with what weights.
//   p[n,:] = softmax(logits[n,:]);   chosen[n,:] = the K largest of p[n,:], the largest first, of equal ones the lower
//   shares:         w[n,k] = p[n,chosen[n,k]] / sum_j p[n,chosen[n,j]]
//   probabilities:  w[n,k] = p[n,chosen[n,k]]
// Sources: Jiang et al. 2024, arXiv:2401.04088 (Mixtral: shares of the chosen; the same as a softmax over the K largest
// logits); Grok-1's release, github.com/xai-org/grok-1 (probabilities).
//
// Legend: N tokens, E experts, K of them a token, 1 <= K <= E <= 256.
//   logits, p [N,E] f32;  w [N,K] f32;  chosen [N,K] i32
// Rows do not depend on each other. Throws ShapeError.
#pragma once

#include "tensor/tensor.h"

namespace starling {

enum class ExpertWeights { shares, probabilities };

void router_forward(Tensor p, Tensor w, Tensor chosen, ConstTensor logits, ExpertWeights weights);

// How unevenly the experts are used: E sum_e f[e] P[e], f[e] = tokens that chose e / N, P[e] = mean_n p[n,e]. K when
// either is even, at most E when all tokens choose the same experts with certainty.
// Source: Fedus et al. 2021, arXiv:2101.03961 (Switch, K = 1); Mixtral's router_aux_loss_coef weighs the same for K
// > 1.
//   load [E] i32, the tokens that chose each (expert_rows.h). Sums in double, in order.
double router_imbalance(ConstTensor p, ConstTensor load);

// dlogits [N,E] f32 from dw [N,K] f32 and from `imbalance_weight` times the imbalance, of which f counts as constant:
//   shares:         dlogits[n,chosen[n,k]] = w[n,k] (dw[n,k] - sum_j w[n,j] dw[n,j]), 0 for the others;
//   probabilities:  dlogits[n,e] = sum_k [chosen[n,k] = e] w[n,k] dw[n,k] - p[n,e] sum_j w[n,j] dw[n,j];
//   dlogits[n,e] += imbalance_weight / N p[n,e] (E f[e] - sum_j p[n,j] E f[j])
void router_backward(Tensor dlogits, ConstTensor dw, ConstTensor p, ConstTensor w, ConstTensor chosen, ConstTensor load,
                     ExpertWeights weights, float imbalance_weight);

}  // namespace starling
