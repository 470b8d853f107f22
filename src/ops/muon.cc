#include "ops/muon.h"

#include <algorithm>
#include <iterator>

#include "ops/kernels.h"
#include "ops/muon_polynomial.h"
#include "ops/profile.h"

namespace starling {
namespace {

// A = X X^T and A^2, of which half is enough since they are symmetric, and (b A + c A^2) X.
double newton_schulz_flops(int64_t rows, int64_t columns) {
  const auto side = static_cast<double>(std::min(rows, columns)), other = static_cast<double>(std::max(rows, columns));
  return static_cast<double>(std::size(kMuonPolynomials)) * side * side * (other + side + 2.0 * other);
}

}  // namespace

void newton_schulz(Tensor x) {
  require_shape(x, DType::f32, {x.extent(0), x.extent(1)}, "newton_schulz");
  with_kernels(x.device(), [&](auto kernels) { kernels.newton_schulz(x); });
}

void muon_step(std::span<const MuonMatrix> matrices, const MuonOptions& options) {
  if (matrices.empty()) return;
  double flops = 0, bytes = 0;
  for (const MuonMatrix& matrix : matrices) {
    require_shape(matrix.w, DType::f32, {matrix.w.extent(0), matrix.w.extent(1)}, "muon w");
    require_shape(matrix.m, DType::f32, matrix.w.shape(), "muon m");
    require_shape(matrix.g, DType::f32, matrix.w.shape(), "muon g");
    common_device("muon", {matrices[0].w, matrix.w, matrix.m, matrix.g});
    flops += newton_schulz_flops(matrix.w.extent(0), matrix.w.extent(1));
    bytes += static_cast<double>(2 * matrix.w.bytes() + 2 * matrix.m.bytes() + matrix.g.bytes());
  }
  const ProfiledOperator timed("muon", flops, bytes);
  with_kernels(matrices[0].w.device(), [&](auto kernels) { kernels.muon_step(matrices, options); });
}

}  // namespace starling
