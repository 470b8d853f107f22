#include "infer/attention_kernels.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <immintrin.h>

#include <cmath>
#include <random>
#include <type_traits>
#include <vector>

#include "infer/kv_cache.h"
#include "ops/quantized_product.h"

namespace starling {
namespace {

struct Results {
  bool operator==(const Results&) const = default;
  std::vector<float> scores, sums;
};

// Of a page's positions.
template <class Element>
struct KeysValues {
  std::vector<Element> keys, values;
};

template <class Element>
const PageKernels<Element>& kernels_for(const AttentionKernels& kernels) {
  if constexpr (std::is_same_v<Element, float>) return kernels.f32;
  else return kernels.f16;
}

struct Page {
  Page(int most_heads, int64_t columns) : d(columns) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& values, int64_t count) {
      for (int64_t i = 0; i < count; ++i) values.push_back(_cvtsh_ss(_cvtss_sh(normal(random), 0)));  // exact in f16
    };
    for (auto* values : {&q, &start}) fill(*values, most_heads * d);
    fill(weights, most_heads * kPagePositions);
    for (auto* values : {&f32.keys, &f32.values}) fill(*values, kPagePositions * d);
    for (const float value : f32.keys) f16.keys.push_back(static_cast<uint16_t>(_cvtss_sh(value, 0)));
    for (const float value : f32.values) f16.values.push_back(static_cast<uint16_t>(_cvtss_sh(value, 0)));
  }

  // Of as many heads a call as the kernels take.
  template <class Element>
  Results run(const AttentionKernels& kernels, const KeysValues<Element>& page, int heads, int64_t count) const {
    const PageKernels<Element>& page_kernels = kernels_for<Element>(kernels);
    Results results{std::vector<float>(static_cast<size_t>(heads * kPagePositions)), start};
    results.sums.resize(static_cast<size_t>(heads * d));
    for (int head = 0; head < heads; head += kernels.most_heads) {
      const int some = std::min(kernels.most_heads, heads - head);
      page_kernels.dots(some, results.scores.data() + head * kPagePositions, kPagePositions, q.data() + head * d,
                        page.keys.data(), d, 0.125f);
      page_kernels.add_rows(some, results.sums.data() + head * d, weights.data() + head * kPagePositions,
                            kPagePositions, page.values.data(), count, d);
    }
    return results;
  }
  int64_t d;
  std::vector<float> q, weights, start;
  KeysValues<float> f32;
  KeysValues<uint16_t> f16;  // the same
};

constexpr int kHeads = 9;  // one more than the most of any kernel

TEST(AttentionKernels, AgreeWithSumsInDoublePrecision) {
  const int64_t d = 24, count = 11;
  const Page page(kHeads, d);
  const Results results = page.run(avx2_attention(), page.f32, kHeads, count);
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t p = 0; p < kPagePositions; ++p) {
      double dot = 0;
      for (int64_t i = 0; i < d; ++i) dot += double{page.q[h * d + i]} * page.f32.keys[i * kPagePositions + p];
      EXPECT_NEAR(results.scores[h * kPagePositions + p], 0.125 * dot, 1e-5);
    }
    for (int64_t i = 0; i < d; ++i) {
      double sum = page.start[h * d + i];
      for (int64_t r = 0; r < count; ++r)
        sum += double{page.weights[h * kPagePositions + r]} * page.f32.values[r * d + i];
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
        const Results expected = page.run(avx2_attention(), page.f32, heads, count);
        EXPECT_EQ(page.run(avx2_attention(), page.f16, heads, count), expected);
        if (!avx512) continue;
        EXPECT_EQ(page.run(avx512_attention(), page.f32, heads, count), expected);
        EXPECT_EQ(page.run(avx512_attention(), page.f16, heads, count), expected);
      }
    }
  }
}

}  // namespace
}  // namespace starling
