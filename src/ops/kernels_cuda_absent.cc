// In builds without CUDA the operators have no kernels for it. No tensor can be on a GPU then, so none is ever called.
#include "core/error.h"
#include "ops/kernels.h"

namespace starling {
namespace {

[[noreturn]] void absent() { throw DeviceError("starling was built without CUDA"); }

}  // namespace

using Cuda = Kernels<Device::cuda>;

// clang-format off
template <> void Cuda::add(Tensor, ConstTensor) { absent(); }
template <> void Cuda::adamw_step(Tensor, Tensor, Tensor, ConstTensor, const AdamWOptions&) { absent(); }
template <> void Cuda::attention_forward(Tensor, Tensor, ConstTensor, ConstTensor, const AttentionShape&) { absent(); }
template <> void Cuda::attention_backward(Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                                          const AttentionShape&) { absent(); }
template <> void Cuda::bias_forward(Tensor, ConstTensor) { absent(); }
template <> void Cuda::bias_backward(Tensor, ConstTensor) { absent(); }
template <> void Cuda::convert(Tensor, ConstTensor) { absent(); }
template <> void Cuda::cross_entropy_forward(Tensor, Matrix, ConstTensor) { absent(); }
template <> void Cuda::cross_entropy_train(Tensor, Matrix, Matrix, ConstTensor, const CrossEntropyLoss&) { absent(); }
template <> void Cuda::embedding_forward(Tensor, ConstTensor, ConstTensor) { absent(); }
template <> void Cuda::embedding_backward(Tensor, ConstTensor, ConstTensor) { absent(); }
template <> void Cuda::matmul(const Matrix&, const ConstMatrix&, const ConstMatrix&, Accumulate) { absent(); }
template <> void Cuda::muon_step(std::span<const MuonMatrix>, const MuonOptions&) { absent(); }
template <> void Cuda::newton_schulz(Tensor) { absent(); }
template <> void Cuda::rmsnorm_forward(Tensor, Tensor, ConstTensor, ConstTensor, float) { absent(); }
template <> void Cuda::rmsnorm_backward(Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) { absent(); }
template <> void Cuda::rope(Tensor, ConstTensor, ConstTensor, int64_t, float) { absent(); }
template <> void Cuda::scale(Tensor, float) { absent(); }
template <> double Cuda::sum_of_squares(ConstTensor) { absent(); }
template <> void Cuda::swiglu_forward(Tensor, ConstTensor, Gate) { absent(); }
template <> void Cuda::swiglu_backward(Tensor, ConstTensor, ConstTensor, Gate) { absent(); }
// clang-format on

}  // namespace starling
