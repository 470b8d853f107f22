#include "ops/attention.h"

#include "core/error.h"
#include "ops/kernels.h"
#include "ops/profile.h"
#include "tensor/buffer.h"

namespace starling {
namespace {

void check(const ConstTensor& out, const ConstTensor& lse, const ConstTensor& qkv, const ConstTensor& starts,
           const AttentionShape& s) {
  if (s.cap > 0 && out.device() != Device::cpu) throw ConfigError("capped attention is on the CPU alone");
  if (s.kv_heads < 1 || s.heads % s.kv_heads != 0) throw ShapeError("attention: kv_heads must divide heads");
  const int64_t N = s.sequences * s.length;
  require_shape(qkv, out.dtype(), {N, (s.heads + 2 * s.kv_heads) * s.head_size}, "attention qkv");
  require_shape(out, out.dtype(), {N, s.heads * s.head_size}, "attention out");
  require_shape(lse, DType::f32, {s.sequences, s.heads, s.length}, "attention lse");
  require_shape(starts, DType::i32, {N}, "attention document_starts");
}

// Pairs of a row and a key that it sees, times H D: the multiply-adds of one of attention's products. Counted only when
// somebody reads it: the starts may have to come from another device.
double visible_products(const ConstTensor& starts, const AttentionShape& s) {
  if (!is_profiling()) return 0;
  const HostCopy host(starts);
  const int32_t* start = host.tensor().as<int32_t>();
  int64_t pairs = 0;
  for (int64_t n = 0; n < s.sequences * s.length; ++n) pairs += n % s.length - start[n] + 1;
  return static_cast<double>(pairs * s.heads * s.head_size);
}

}  // namespace

void attention_forward(Tensor out, Tensor lse, ConstTensor qkv, ConstTensor document_starts, const AttentionShape& s) {
  check(out, lse, qkv, document_starts, s);
  const ProfiledOperator timed("attention forward", 4.0 * visible_products(document_starts, s),
                               static_cast<double>(out.bytes() + qkv.bytes()));
  with_kernels(common_device("attention", {out, lse, qkv, document_starts}),
               [&](auto kernels) { kernels.attention_forward(out, lse, qkv, document_starts, s); });
}

void attention_backward(Tensor dqkv, ConstTensor dout, ConstTensor qkv, ConstTensor out, ConstTensor lse,
                        ConstTensor document_starts, const AttentionShape& s) {
  check(out, lse, qkv, document_starts, s);
  const ProfiledOperator timed("attention backward", 10.0 * visible_products(document_starts, s),
                               static_cast<double>(2 * (out.bytes() + qkv.bytes())));
  require_shape(dqkv, qkv.dtype(), qkv.shape(), "attention dqkv");
  require_shape(dout, out.dtype(), out.shape(), "attention dout");
  with_kernels(common_device("attention", {dqkv, dout, qkv, out, lse, document_starts}),
               [&](auto kernels) { kernels.attention_backward(dqkv, dout, qkv, out, lse, document_starts, s); });
}

}  // namespace starling
