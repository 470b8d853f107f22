// The operators' arithmetic, once for each device: the members of Kernels<Device::cpu> are defined in the *_cpu.cc
// files, those of Kernels<Device::cuda> in the *_cuda.cu files. The operators of the other headers here check their
// arguments, then call these; formulas and shapes are theirs. For the *.cc files of operators alone.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/linear_cross_entropy.h"
#include "ops/matmul.h"
#include "ops/muon.h"
#include "ops/swiglu.h"
#include "tensor/tensor.h"

namespace starling {

template <Device device>
struct Kernels {
  static void add(Tensor y, ConstTensor x);
  static void adamw_step(Tensor w, Tensor m, Tensor v, ConstTensor g, const AdamWOptions& options);
  static void attention_forward(Tensor out, Tensor lse, ConstTensor qkv, ConstTensor starts, const AttentionShape& s);
  static void attention_backward(Tensor dqkv, ConstTensor dout, ConstTensor qkv, ConstTensor out, ConstTensor lse,
                                 ConstTensor starts, const AttentionShape& s);
  static void bias_forward(Tensor y, ConstTensor bias);
  static void bias_backward(Tensor dbias, ConstTensor dy);
  static void convert(Tensor y, ConstTensor x);
  // A chunk's logits [R, stride] f32, of which the first V columns count; they may be written over. Gradients may begin
  // where the logits do, on the CPU.
  static void cross_entropy_forward(Tensor nats, Matrix logits, ConstTensor targets);
  static void cross_entropy_train(Tensor nats, Matrix gradients, Matrix logits, ConstTensor targets,
                                  const CrossEntropyLoss& loss);
  static void embedding_forward(Tensor y, ConstTensor tokens, ConstTensor table);
  static void embedding_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy);
  static void matmul(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate);
  static void muon_step(std::span<const MuonMatrix> matrices, const MuonOptions& options);
  static void newton_schulz(Tensor x);
  static void rmsnorm_forward(Tensor y, Tensor rstd, ConstTensor x, ConstTensor w, float eps);
  static void rmsnorm_backward(Tensor dx, Tensor dw, ConstTensor dy, ConstTensor x, ConstTensor w, ConstTensor rstd);
  // Turns the first heads by sign times the angles of their positions.
  static void rope(Tensor x, ConstTensor table, ConstTensor positions, int64_t heads, float sign);
  static void scale(Tensor x, float factor);
  static double sum_of_squares(ConstTensor x);
  static void swiglu_forward(Tensor y, ConstTensor gate_up, Gate gate);
  static void swiglu_backward(Tensor dgate_up, ConstTensor dy, ConstTensor gate_up, Gate gate);
};

// The device that all of an operator's tensors are on. Throws DeviceError when they are on different ones.
Device common_device(const char* what, std::initializer_list<ConstTensor> tensors);

// Calls f(Kernels<device>{}).
template <class F>
decltype(auto) with_kernels(Device device, F&& f) {
  return device == Device::cuda ? f(Kernels<Device::cuda>{}) : f(Kernels<Device::cpu>{});
}

}  // namespace starling
