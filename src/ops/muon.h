// Muon: momentum whose update is made (nearly) orthogonal, for the matrices of the hidden layers.
//   m = b m + g,   u = g + b m (Nesterov),   O = newton_schulz(u) ~ U V^T of u's singular value decomposition,
//   w = w - lr (0.2 sqrt(max(rows, columns)) O + decay w)
// The factor gives an update the root mean square that AdamW's usually has, so that both can share one learning rate.
// Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/ (iteration and coefficients);
// Liu et al. 2025, arXiv:2502.16982 (factor).
//   w, m, g [R,S] f32. Throws ShapeError.
#pragma once

#include <span>

#include "tensor/tensor.h"

namespace starling {

struct MuonOptions {
  float learning_rate = 1e-3f;
  float momentum = 0.95f;
  float weight_decay = 0.0f;
  float gradient_scale = 1.0f;
};

struct MuonMatrix {
  Tensor w, m;
  ConstTensor g;
};

// The matrices are shared out among the compute threads, each whole on one.
void muon_step(std::span<const MuonMatrix> matrices, const MuonOptions& options);

// x [R,S] f32 -> orthogonalised, in place; five iterations of X <- a X + (b A + c A^2) X, A = X X^T, in bf16 where that
// is fast. Singular values end near 1 (within about 0.3), as the method wants. On the calling thread.
void newton_schulz(Tensor x);

}  // namespace starling
