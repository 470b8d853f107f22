#include <cublasLt.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "core/error.h"
#include "ops/kernels.h"
#include "tensor/buffer.h"

namespace starling {
namespace cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what cuBLAS's own documentation advises for Hopper

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw DeviceError(fmt::format("cuBLASLt, {}: {}", what, cublasLtGetStatusString(status)));
}

// A matrix as the library reads memory: by columns. Ours, whose rows are contiguous, is its transpose there.
struct Stored {
  int64_t rows, columns, stride;
  cublasOperation_t operation;
};

// Of the transpose of m.
Stored stored(const ConstMatrix& m) {
  if (m.column_stride == 1) return {m.columns, m.rows, std::max(m.row_stride, m.columns), CUBLAS_OP_N};
  return {m.rows, m.columns, std::max(m.column_stride, m.rows), CUBLAS_OP_T};
}

cudaDataType_t data_type(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// The largest power of two, 256 at most, that the address is a multiple of: which loads an algorithm may use.
uint32_t alignment(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address) | 256u;
  return static_cast<uint32_t>(bits & -bits);
}

cublasLtMatrixLayout_t layout(const ConstMatrix& m, const Stored& s) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, data_type(m.dtype), static_cast<uint64_t>(s.rows),
                                   static_cast<uint64_t>(s.columns), s.stride),
        "describing a matrix");
  return layout;
}

cublasLtHandle_t handle() {
  static const cublasLtHandle_t handle = [] {
    cublasLtHandle_t made = nullptr;
    check(cublasLtCreate(&made), "starting");
    return made;
  }();
  return handle;
}

// A product of exact shapes, strides and alignments, with the algorithm that the library picks for it. c^T = b^T a^T.
class Plan {
 public:
  Plan(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b) {
    const Stored left = stored(b), right = stored(a);
    check(cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, left.operation), set(CUBLASLT_MATMUL_DESC_TRANSB, right.operation);
    left_ = layout(b, left), right_ = layout(a, right), result_ = layout(c, stored(c));
    choose_algorithm(c, a, b);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    for (cublasLtMatrixLayout_t one : {left_, right_, result_}) cublasLtMatrixLayoutDestroy(one);
    cublasLtMatmulDescDestroy(product_);
  }

  void run(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate,
           const Tensor& workspace) {
    const float one = 1.0f, kept = accumulate == Accumulate::yes ? 1.0f : 0.0f;
    void* result = const_cast<void*>(c.data);
    check(cublasLtMatmul(handle(), product_, &one, b.data, left_, a.data, right_, &kept, result, result_, result,
                         result_, &algorithm_, workspace.address(), kWorkspaceBytes, nullptr),
          "multiplying");
  }

 private:
  void set(cublasLtMatmulDescAttributes_t attribute, cublasOperation_t operation) {
    check(cublasLtMatmulDescSetAttribute(product_, attribute, &operation, sizeof operation), "describing a product");
  }

  void choose_algorithm(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b) {
    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference), "asking for an algorithm");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
            "asking for an algorithm");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(b.data));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(a.data));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(c.data));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(c.data));
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle(), product_, left_, right_, result_, result_,
                                                                 preference, 1, &found, &count);
    cublasLtMatmulPreferenceDestroy(preference);
    if (status != CUBLAS_STATUS_SUCCESS || count == 0)
      throw DeviceError(fmt::format("cuBLASLt has no algorithm for a product of {} x {} by {} x {}, {} to {}", a.rows,
                                    a.columns, b.rows, b.columns, name_of(a.dtype), name_of(c.dtype)));
    algorithm_ = found.algo;
  }

  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t left_ = nullptr, right_ = nullptr, result_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_;
};

using Key = std::array<int64_t, 14>;

Key key_of(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b) {
  return {c.rows,
          c.columns,
          a.columns,
          static_cast<int64_t>(a.dtype),
          static_cast<int64_t>(c.dtype),
          a.row_stride,
          a.column_stride,
          b.row_stride,
          b.column_stride,
          c.row_stride,
          c.column_stride,
          alignment(a.data),
          alignment(b.data),
          alignment(c.data)};
}

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::matmul(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate) {
  constexpr size_t kLimit = 2000;  // bounds memory when shapes never repeat
  thread_local std::map<Key, Plan> plans;
  thread_local const Buffer workspace(DType::f32, {static_cast<int64_t>(kWorkspaceBytes / 4)}, Device::cuda);
  const Key key = key_of(c, a, b);
  auto found = plans.find(key);
  if (found == plans.end()) {
    if (plans.size() >= kLimit) plans.clear();
    found = plans.try_emplace(key, c, a, b).first;
  }
  found->second.run(c, a, b, accumulate, workspace.tensor());
}

}  // namespace starling
