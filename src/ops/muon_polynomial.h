// The odd quintics X <- a X + (b A + c A^2) X, A = X X^T, that newton_schulz applies in turn. Each is the one of least
// greatest error |1 - (a x + b x^3 + c x^5)| on the interval of singular values that the one before leaves, from [0.03,
// 1] on, widened by 2 % at the top for what bf16 rounds; they end within 0.05 of 1.
//
// Source: Amsel et al. 2025, arXiv:2505.16932 (greedy choice of minimax polynomials); the figures are our own Remez
// fit.
#pragma once

#include <cmath>

namespace starling {

struct MuonPolynomial {
  float a, b, c;
};

constexpr MuonPolynomial kMuonPolynomials[] = {
    {7.2374f, -19.6196f, 13.7868f}, {2.8963f, -2.0923f, 0.4377f}, {2.0406f, -1.3929f, 0.3692f}};

// The polynomial of s X in terms of X, where s = 1 / sqrt(|A|_F) and `trace` = tr A^2 = |A|_F^2. No singular value of s
// X is above 1, and they lie far nearer to it than those of X / |X|_F: an iteration less is needed. tr A^2
// of an X of norm 1 is above 1 / rank, so the term beside it only keeps X = 0 at 0.
#ifdef __CUDACC__
#define STARLING_HOST_AND_DEVICE __host__ __device__
#else
#define STARLING_HOST_AND_DEVICE
#endif
STARLING_HOST_AND_DEVICE inline MuonPolynomial scaled_by_trace(MuonPolynomial p, float trace) {
  const float square = 1.0f / std::sqrt(trace + 1e-12f), s = std::sqrt(square);
  return {p.a * s, p.b * s * square, p.c * s * square * square};
}

}  // namespace starling
