#include "ops/matmul_cpu.h"

#include <fmt/format.h>

#include <array>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "ops/kernels.h"
#include "ops/matmul_amx.h"
#include "ops/vector_math.h"

// Of OpenMP's specification; not from <omp.h>, since Clang does not read GCC's and its own belongs to another runtime.
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int threads);

namespace starling {
namespace {

using Key = std::array<int64_t, 10>;

struct KeyHash {
  size_t operator()(const Key& key) const {
    uint64_t hash = 0x9e3779b97f4a7c15u;
    for (int64_t part : key) hash = (hash ^ static_cast<uint64_t>(part)) * 0x100000001b3u;
    return hash ^ (hash >> 29);
  }
};

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::desc describe(const ConstMatrix& m) {
  const auto type = m.dtype == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
  return {{m.rows, m.columns}, type, dnnl::memory::dims{m.row_stride, m.column_stride}};
}

// One primitive, made for exact shapes and strides, with the memory objects that its operands are put into.
class Product {
 public:
  Product(const ConstMatrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate) {
    dnnl::primitive_attr attributes;
    if (accumulate == Accumulate::yes) {
      dnnl::post_ops add;
      add.append_sum(1.0f);
      attributes.set_post_ops(add);
    }
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(describe(a), describe(b), describe(c)),
                                                   attributes, cpu_engine());
    primitive_ = dnnl::matmul(description);
    const auto unset = [](const ConstMatrix& m) { return dnnl::memory(describe(m), cpu_engine(), nullptr); };
    arguments_ = {{DNNL_ARG_SRC, unset(a)}, {DNNL_ARG_WEIGHTS, unset(b)}, {DNNL_ARG_DST, unset(c)}};
  }

  void run(const void* c, const void* a, const void* b, dnnl::stream& stream) {
    arguments_[DNNL_ARG_SRC].set_data_handle(const_cast<void*>(a));
    arguments_[DNNL_ARG_WEIGHTS].set_data_handle(const_cast<void*>(b));
    arguments_[DNNL_ARG_DST].set_data_handle(const_cast<void*>(c));
    primitive_.execute(stream, arguments_);
    stream.wait();
  }

 private:
  dnnl::matmul primitive_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

// Every thread keeps its own primitives: they hold scratch memory that two threads must not share.
class ProductCache {
 public:
  ProductCache() : stream_(cpu_engine()) {}

  void run(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate) {
    const Key key = {c.rows,
                     c.columns,
                     a.columns,
                     static_cast<int64_t>(a.dtype),
                     static_cast<int64_t>(c.dtype),
                     a.row_stride,
                     a.column_stride,
                     b.row_stride * (b.column_stride == 1 ? 1 : -1),
                     b.column_stride,
                     c.row_stride * (accumulate == Accumulate::yes ? -1 : 1)};
    auto found = products_.find(key);
    if (found == products_.end()) {
      if (products_.size() >= kLimit) products_.clear();
      found = products_.try_emplace(key, c, a, b, accumulate).first;
    }
    found->second.run(c.data, a.data, b.data, stream_);
  }

 private:
  static constexpr size_t kLimit = 2000;  // bounds memory when shapes never repeat
  dnnl::stream stream_;
  std::unordered_map<Key, Product, KeyHash> products_;
};

// oneDNN's OpenMP threads would spin beside ours between products; each call keeps to its thread.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }

 private:
  int before_;
};

// Row-major f32 copy of a bf16 matrix, for processors without AVX-512.
ConstMatrix widened(const ConstMatrix& m, std::vector<float>& storage) {
  storage.resize(static_cast<size_t>(m.rows * m.columns));
  const auto* source = static_cast<const bf16*>(m.data);
  for (int64_t row = 0; row < m.rows; ++row)
    for (int64_t column = 0; column < m.columns; ++column)
      storage[static_cast<size_t>(row * m.columns + column)] =
          to_float(source[row * m.row_stride + column * m.column_stride]);
  return {storage.data(), DType::f32, m.rows, m.columns, m.columns, 1};
}

void narrow(const Matrix& c, const std::vector<float>& values) {
  auto* target = static_cast<bf16*>(const_cast<void*>(c.data));
  for (int64_t row = 0; row < c.rows; ++row)
    for (int64_t column = 0; column < c.columns; ++column)
      target[row * c.row_stride + column] = to_bf16(values[static_cast<size_t>(row * c.columns + column)]);
}

}  // namespace

bool cpu_has_bf16_products() {
  static const bool fast = dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_bf16;
  return fast;
}

bool use_avx512_bf16() {
  static const bool use = use_avx512() && __builtin_cpu_supports("avx512bf16") && cpu_has_bf16_products();
  return use;
}

void multiply_on_this_thread(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate) {
  static const bool has_avx512 = dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core;
  thread_local ProductCache cache;
  const OneThread one_thread;
  try {
    if (a.dtype == DType::f32 || has_avx512) {
      cache.run(c, a, b, accumulate);
    } else {
      thread_local std::vector<float> wide_a, wide_b, wide_c;
      Matrix result = c;
      if (c.dtype == DType::bf16) {
        wide_c.resize(static_cast<size_t>(c.rows * c.columns));
        result = {ConstMatrix{wide_c.data(), DType::f32, c.rows, c.columns, c.columns, 1}};
      }
      cache.run(result, widened(a, wide_a), widened(b, wide_b), accumulate);
      if (c.dtype == DType::bf16) narrow(c, wide_c);
    }
  } catch (const dnnl::error& error) {
    throw DeviceError(fmt::format("oneDNN refused a product of {} x {} by {} x {}: {}", a.rows, a.columns, b.rows,
                                  b.columns, error.what()));
  }
}

template <>
void Kernels<Device::cpu>::matmul(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate) {
  if (a.dtype == DType::bf16 && products_in_use() == ProductKernels::amx)
    return matmul_in_tiles(c, a, b, accumulate, TileUnit::amx, compute_threads());
  constexpr int64_t kGrain = 32;  // below this a second thread costs more than it saves
  if (c.rows >= c.columns) {
    parallel_for(c.rows, kGrain, [&](int64_t begin, int64_t end) {
      multiply_on_this_thread(block(c, begin, end - begin, 0, c.columns), block(a, begin, end - begin, 0, a.columns), b,
                              accumulate);
    });
  } else {
    parallel_for(c.columns, kGrain, [&](int64_t begin, int64_t end) {
      multiply_on_this_thread(block(c, 0, c.rows, begin, end - begin), a, block(b, 0, b.rows, begin, end - begin),
                              accumulate);
    });
  }
}

}  // namespace starling
