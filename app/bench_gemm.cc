#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "app/bench.h"
#include "core/error.h"
#include "core/json.h"
#include "core/random.h"
#include "core/threads.h"
#include "ops/machine_limits.h"
#include "ops/matmul.h"
#include "tensor/buffer.h"
#include "tensor/device.h"

namespace starling {
namespace {

constexpr int64_t kRounds = 11;

// A linear layer's three products: y = x w^T, dx = dy w, dw += dy^T x.
enum class Layout { forward, input_gradient, weight_gradient };

struct GemmOptions {
  int64_t m = 0, n = 0, k = 0;  // 0: the shapes of a training step
  std::string type = "bf16", layout = "forward", device = "cpu";
};

struct GemmShape {
  int64_t m, n, k;
  Layout layout;
};

const char* name_of(Layout layout) {
  if (layout == Layout::forward) return "forward";
  return layout == Layout::input_gradient ? "input" : "weight";
}

std::vector<GemmShape> shapes_of(const GemmOptions& options) {
  if (options.m > 0) {
    for (Layout layout : {Layout::forward, Layout::input_gradient, Layout::weight_gradient})
      if (options.layout == name_of(layout)) return {{options.m, options.n, options.k, layout}};
  }
  return {{4096, 768, 3072, Layout::forward},         {4096, 3072, 768, Layout::forward},
          {4096, 4096, 4096, Layout::forward},        {4096, 768, 3072, Layout::input_gradient},
          {768, 3072, 4096, Layout::weight_gradient}, {8192, 1152, 384, Layout::forward},
          {8192, 288, 864, Layout::forward},          {512, 8192, 384, Layout::forward},
          {512, 384, 8192, Layout::input_gradient},   {8192, 384, 512, Layout::weight_gradient},
          {512, 50257, 768, Layout::forward}};
}

// Operands with memory on a device; a weight gradient adds to f32, the others give the operands' type.
struct Operands {
  Operands(const GemmShape& s, DType type, Device device)
      : shape(s),
        a(type, s.layout == Layout::weight_gradient ? Shape{s.k, s.m} : Shape{s.m, s.k}, device),
        b(type, s.layout == Layout::forward ? Shape{s.n, s.k} : Shape{s.k, s.n}, device),
        c(s.layout == Layout::weight_gradient ? DType::f32 : type, {s.m, s.n}, device) {
    fill(a.tensor(), 1), fill(b.tensor(), 2);
  }

  static void fill(Tensor tensor, uint64_t stream) {
    const HostDraft draft(tensor);
    dispatch_float(tensor.dtype(), "operand", [&]<class T>(T) {
      T* values = draft.tensor().as<T>();
      for (int64_t i = 0; i < tensor.elements(); ++i)
        values[i] =
            from_float<T>(static_cast<float>(random_u64(1, stream, static_cast<uint64_t>(i)) % 2001) / 1000.0f - 1.0f);
    });
    draft.store();
  }

  ConstMatrix left(ConstTensor tensor) const {
    return shape.layout == Layout::weight_gradient ? transposed(as_matrix(tensor)) : as_matrix(tensor);
  }
  ConstMatrix right(ConstTensor tensor) const {
    return shape.layout == Layout::forward ? transposed(as_matrix(tensor)) : as_matrix(tensor);
  }
  void multiply() const {
    matmul(as_matrix(c.tensor()), left(a.tensor()), right(b.tensor()),
           shape.layout == Layout::weight_gradient ? Accumulate::yes : Accumulate::no);
    synchronize(c.tensor().device());
  }

  GemmShape shape;
  Buffer a, b, c;
};

// Whose kernels can make such a product.
std::vector<ProductKernels> kernels_of(DType type, Device device) {
  if (type == DType::bf16 && device == Device::cpu && has_products(ProductKernels::amx))
    return {ProductKernels::onednn, ProductKernels::amx};
  return {ProductKernels::onednn};
}

const char* library_of(ProductKernels kernels, Device device) {
  if (device == Device::cuda) return "cuBLASLt";
  return kernels == ProductKernels::amx ? "own, AMX" : "oneDNN";
}

double element(const ConstMatrix& m, int64_t row, int64_t column) {
  const int64_t at = row * m.row_stride + column * m.column_stride;
  return static_cast<double>(m.dtype == DType::bf16 ? to_float(static_cast<const bf16*>(m.data)[at])
                                                    : static_cast<const float*>(m.data)[at]);
}

// 500 results against sums in double. Terms have a variance of 1/9; f32 sums lose about 1e-7 of their path's length,
// a bf16 result 2^-9 of its value.
void check(const Operands& operands) {
  const HostCopy left(operands.a.tensor()), right(operands.b.tensor()), product(operands.c.tensor());
  const ConstMatrix a = operands.left(left.tensor()), b = operands.right(right.tensor()),
                    c = as_matrix(product.tensor());
  const double rounding = c.dtype == DType::bf16 ? 0.004 : 0.0;
  for (uint64_t sample = 0; sample < 500; ++sample) {
    const auto row = static_cast<int64_t>(random_u64(2, 1, sample) % static_cast<uint64_t>(c.rows)),
               column = static_cast<int64_t>(random_u64(2, 2, sample) % static_cast<uint64_t>(c.columns));
    double sum = 0;
    for (int64_t k = 0; k < a.columns; ++k) sum += element(a, row, k) * element(b, k, column);
    const double got = element(c, row, column),
                 tolerance = 1e-6 * static_cast<double>(a.columns) + rounding * (1 + std::abs(sum));
    if (!(std::abs(got - sum) <= tolerance))
      throw Error(fmt::format("the product {} x {} x {} is wrong at ({}, {}): {} instead of {}", c.rows, c.columns,
                              a.columns, row, column, got, sum));
  }
}

nlohmann::ordered_json time_product(const GemmShape& s, DType type, Device device, ProductKernels kernels) {
  use_products(kernels);
  const Operands operands(s, type, device);
  operands.multiply();
  check(operands);
  const Spread time = time_rounds(kRounds, [&] { operands.multiply(); });
  use_products(ProductKernels::onednn);
  const double flops = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  return {{"m", s.m},
          {"n", s.n},
          {"k", s.k},
          {"layout", name_of(s.layout)},
          {"type", name_of(type)},
          {"library", library_of(kernels, device)},
          {"tflops", flops / time.median / 1e12},
          {"best_tflops", flops / time.fastest / 1e12}};
}

void bench_gemm(const GemmOptions& options, bool json) {
  const DType type = options.type == "bf16" ? DType::bf16 : DType::f32;
  const Device device = find_device(options.device);
  double peak = measure_peak_flops(type, device);
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const GemmShape& s : shapes_of(options))
    for (ProductKernels kernels : kernels_of(type, device)) rows.push_back(time_product(s, type, device, kernels));
  peak = std::max(peak, measure_peak_flops(type, device));
  for (auto& row : rows) row["fraction_of_peak"] = row["tflops"].get<double>() * 1e12 / peak;
  if (json) {
    const nlohmann::ordered_json result = {{"library", library_of(ProductKernels::onednn, device)},
                                           {"device", describe(device)},
                                           {"threads", compute_threads()},
                                           {"peak_tflops", peak / 1e12},
                                           {"products", rows}};
    fmt::print("{}\n", dump_json(result, 2));
    return;
  }
  fmt::print("{}, {}, peak {:.3f} TFLOP/s\n{:>6} {:>6} {:>6}  {:8} {:9} {:>8} {:>8}  of peak\n", describe(device),
             options.type, peak / 1e12, "m", "n", "k", "layout", "library", "median", "best");
  for (const auto& row : rows)
    fmt::print("{:6} {:6} {:6}  {:8} {:9} {:8.3f} {:8.3f}  {:.0f} %\n", row["m"].get<int64_t>(),
               row["n"].get<int64_t>(), row["k"].get<int64_t>(), row["layout"].get<std::string>(),
               row["library"].get<std::string>(), row["tflops"].get<double>(), row["best_tflops"].get<double>(),
               100 * row["fraction_of_peak"].get<double>());
}

}  // namespace

void add_bench_gemm(Command bench, const GlobalOptions& options) {
  Command gemm = bench.add_subcommand("gemm", "Matrix products of a training step, checked and timed");
  auto chosen = std::make_shared<GemmOptions>();
  const auto extent = [&](const char* name, int64_t& value, const char* help) {
    return gemm.add_option(name, value, help).between(int64_t{1}, int64_t{1} << 20);
  };
  Option m = extent("-m", chosen->m, "Rows of the result (default: a list of shapes)");
  Option n = extent("-n", chosen->n, "Columns of the result").needs(m);
  Option k = extent("-k", chosen->k, "Length of the sums").needs(m);
  m.needs(n).needs(k);
  gemm.add_option("--type", chosen->type, "Type of the operands").one_of({"bf16", "f32"}).show_default();
  gemm.add_option("--layout", chosen->layout, "y = x w^T, dx = dy w or dw += dy^T x")
      .one_of({"forward", "input", "weight"})
      .show_default();
  gemm.add_option("--device", chosen->device, "Where the matrices are").one_of({"cpu", "cuda"}).show_default();
  gemm.footer("Examples:\n  starling bench gemm --json\n  starling bench gemm -m 4096 -n 768 -k 3072 --layout input");
  gemm.callback([chosen, &options] { bench_gemm(*chosen, options.json); });
}

}  // namespace starling
