#include "train/products.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/time.h"
#include "ops/linear.h"
#include "tensor/buffer.h"
#include "train/options.h"

namespace starling {
namespace {

// A processor's clock falls with the bits that change: zeros would promise too much.
void fill(const Tensor& tensor) {
  bf16* values = tensor.as<bf16>();
  for (int64_t i = 0; i < tensor.elements(); ++i)
    values[i] = to_bf16(static_cast<float>(static_cast<uint32_t>(i) * 2654435761u >> 16) / 32768.0f - 1.0f);
}

struct Layer {
  Layer(int64_t tokens, int64_t in, int64_t out)
      : x(DType::bf16, {tokens, in}),
        dx(DType::bf16, {tokens, in}),
        y(DType::bf16, {tokens, out}),
        w(DType::bf16, {out, in}),
        dw(DType::f32, {out, in}) {
    fill(x.tensor()), fill(w.tensor());
  }
  double seconds(ProductKernels kernels) const {
    use_products(kernels);
    const double start = monotonic_s();
    linear_forward(y.tensor(), x.tensor(), w.tensor());
    linear_backward_input(dx.tensor(), y.tensor(), w.tensor());
    linear_backward_weight(dw.tensor(), y.tensor(), x.tensor());
    return monotonic_s() - start;
  }
  Buffer x, dx, y, w, dw;
};

}  // namespace

ProductRates measure_products(int64_t tokens, int64_t in, int64_t out) {
  constexpr double kSeconds = 0.5;
  const Layer layer(tokens, in, out);
  double onednn = 1e30, amx = 1e30;
  int rounds = 0;  // the first makes oneDNN's kernels and both ones' memory, and does not count
  for (const double end = monotonic_s() + kSeconds; rounds < 3 || monotonic_s() < end; ++rounds) {
    const double first = layer.seconds(ProductKernels::onednn), second = layer.seconds(ProductKernels::amx);
    if (rounds > 0) onednn = std::min(onednn, first), amx = std::min(amx, second);
  }
  use_products(ProductKernels::onednn);
  const double flops = 3 * 2.0 * static_cast<double>(tokens) * static_cast<double>(in) * static_cast<double>(out);
  return {flops / onednn, flops / amx};
}

ProductKernels faster_products(const ProductRates& rates) {
  return rates.amx_flops >= 1.2 * rates.onednn_flops ? ProductKernels::amx : ProductKernels::onednn;
}

void settle_products(Config& config) {
  const TrainOptions options = train_options(config);
  if (options.products != "auto") return;
  ProductKernels chosen = ProductKernels::onednn;
  if (options.device == Device::cpu && options.compute() == DType::bf16 && has_products(ProductKernels::amx)) {
    const int64_t in = config.integer("model.hidden_size"), out = 2 * config.integer("model.intermediate_size");
    const ProductRates rates = measure_products(options.micro_batch_tokens, in, out);
    chosen = faster_products(rates);
    spdlog::info("train.products = {}: at {} x {} x {} oneDNN makes {:.3f} TFLOP/s, own kernels on AMX {:.3f}",
                 name_of(chosen), options.micro_batch_tokens, out, in, rates.onednn_flops / 1e12,
                 rates.amx_flops / 1e12);
  }
  config.set(fmt::format("train.products={}", name_of(chosen)));
}

}  // namespace starling
