// Muon: momentum whose update is made (nearly) orthogonal, for the matrices of the hidden layers.
//   m = b m + g,   u = g + b m (Nesterov),   O = newton_schulz(u) ~ U V^T of u's singular value decomposition,
//   w = w - lr (0.2 sqrt(max(rows, columns)) O + decay w)
// The factor gives an update the root mean square that AdamW's usually has, so that both can share one learning rate.
// Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/ (method); Liu et al. 2025, arXiv:2502.16982
// (factor); Amsel et al. 2025, arXiv:2505.16932 (polynomials, see muon_polynomial.h).
//   w, m, g [R,S] f32. Throws ShapeError.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace starling {

struct MuonOptions {
  float learning_rate = 1e-3f;
  float momentum = 0.9f;
  float weight_decay = 0.0f;
  float gradient_scale = 1.0f;
};

struct MuonMatrix {
  Tensor w, m;
  ConstTensor g;
};

// The matrices are shared out among the compute threads, each whole on one.
void muon_step(std::span<const MuonMatrix> matrices, const MuonOptions& options);

// x [R,S] f32 -> orthogonalised, in place, by the three polynomials of muon_polynomial.h, in bf16 where that is fast.
// Singular values of at least 3 % of sqrt(|x x^T|_F) end within 0.05 of 1 (and what bf16 rounds), smaller ones grow
// 40-fold. On the calling thread.
void newton_schulz(Tensor x);

}  // namespace starling
