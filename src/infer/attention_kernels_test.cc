#include "infer/attention_kernels.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <immintrin.h>

#include <cmath>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>

#include "infer/kv_cache.h"
#include "ops/quantized_product.h"

namespace starling {
namespace {

struct Results {
  bool operator==(const Results&) const = default;
  std::vector<float> scores, sums;
};

struct Page {
  Page(int most_heads, int64_t columns) : d(columns) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (auto* values : {&q, &keys, &values_of_positions, &weights, &start}) {
      const int64_t rows = values == &q || values == &start ? most_heads : kPagePositions;
      values->resize(static_cast<size_t>(values == &weights ? most_heads * kPagePositions : rows * d));
      for (float& value : *values) value = _cvtsh_ss(_cvtss_sh(normal(random), 0));  // exact in f16
    }
    for (auto [values, halves] : {std::pair(&keys, &f16_keys), std::pair(&values_of_positions, &f16_values)})
      for (const float value : *values) halves->push_back(static_cast<uint16_t>(_cvtss_sh(value, 0)));
  }

  // Of as many heads a call as the kernels take.
  template <class Element>
  Results run(const AttentionKernels& kernels, int heads, int64_t count) const {
    constexpr bool widened = std::is_same_v<Element, float>;
    const auto& page_kernels = pick<widened>(kernels.f32, kernels.f16);
    const Element *page_keys = pick<widened>(keys, f16_keys).data(),
                  *page_values = pick<widened>(values_of_positions, f16_values).data();
    Results results{std::vector<float>(static_cast<size_t>(heads * kPagePositions)), start};
    results.sums.resize(static_cast<size_t>(heads * d));
    for (int head = 0; head < heads; head += kernels.most_heads) {
      const int some = std::min(kernels.most_heads, heads - head);
      page_kernels.dots(some, results.scores.data() + head * kPagePositions, kPagePositions, q.data() + head * d,
                        page_keys, d, 0.125f);
      page_kernels.add_rows(some, results.sums.data() + head * d, weights.data() + head * kPagePositions,
                            kPagePositions, page_values, count, d);
    }
    return results;
  }
  int64_t d;
  std::vector<float> q, keys, values_of_positions, weights, start;
  std::vector<uint16_t> f16_keys, f16_values;

 private:
  template <bool first>
  static const auto& pick(const auto& a, const auto& b) {
    if constexpr (first) return a;
    else return b;
  }
};

constexpr int kHeads = 9;  // one more than the most of any kernel

TEST(AttentionKernels, AgreeWithSumsInDoublePrecision) {
  const int64_t d = 24, count = 11;
  const Page page(kHeads, d);
  const Results results = page.run<float>(avx2_attention(), kHeads, count);
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t p = 0; p < kPagePositions; ++p) {
      double dot = 0;
      for (int64_t i = 0; i < d; ++i) dot += double{page.q[h * d + i]} * page.keys[i * kPagePositions + p];
      EXPECT_NEAR(results.scores[h * kPagePositions + p], 0.125 * dot, 1e-5);
    }
    for (int64_t i = 0; i < d; ++i) {
      double sum = page.start[h * d + i];
      for (int64_t r = 0; r < count; ++r)
        sum += double{page.weights[h * kPagePositions + r]} * page.values_of_positions[r * d + i];
      EXPECT_NEAR(results.sums[h * d + i], sum, 1e-5);
    }
  }
}

TEST(AttentionKernels, GiveTheSameBitsForF16AndEveryInstructionSet) {
  const bool avx512 = best_instruction_set() >= InstructionSet::avx512_vnni;
  for (const int64_t d : {2, 6, 16, 24, 48, 64, 80, 128}) {
    const Page page(kHeads, d);
    for (int heads = 1; heads <= kHeads; ++heads) {
      for (const int64_t count : {1, 5, 16}) {
        SCOPED_TRACE(fmt::format("{} heads of {}, {} positions", heads, d, count));
        const Results expected = page.run<float>(avx2_attention(), heads, count);
        EXPECT_EQ(page.run<uint16_t>(avx2_attention(), heads, count), expected);
        if (!avx512) continue;
        EXPECT_EQ(page.run<float>(avx512_attention(), heads, count), expected);
        EXPECT_EQ(page.run<uint16_t>(avx512_attention(), heads, count), expected);
      }
    }
  }
}

}  // namespace
}  // namespace starling
