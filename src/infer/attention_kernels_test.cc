#include "infer/attention_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "infer/kv_cache.h"
#include "ops/quantized_product.h"

namespace starling {
namespace {

// What a call of the kernels gives for `heads` heads, in calls of as many as the kernels take.
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
      for (float& value : *values) value = normal(random);
    }
  }
  Results run(const AttentionKernels& kernels, int heads, int64_t count) const {
    Results results{std::vector<float>(static_cast<size_t>(heads * kPagePositions)), start};
    results.sums.resize(static_cast<size_t>(heads * d));
    for (int head = 0; head < heads; head += kernels.most_heads) {
      const int some = std::min(kernels.most_heads, heads - head);
      kernels.dots(some, results.scores.data() + head * kPagePositions, kPagePositions, q.data() + head * d,
                   keys.data(), d, 0.125f);
      kernels.add_rows(some, results.sums.data() + head * d, weights.data() + head * kPagePositions, kPagePositions,
                       values_of_positions.data(), count, d);
    }
    return results;
  }
  int64_t d;
  std::vector<float> q, keys, values_of_positions, weights, start;
};

constexpr int kHeads = 9;  // one more than the most of any kernel

TEST(AttentionKernels, AgreeWithSumsInDoublePrecision) {
  const int64_t d = 24, count = 11;
  const Page page(kHeads, d);
  const Results results = page.run(avx2_attention(), kHeads, count);
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

TEST(AttentionKernels, GiveTheSameBitsForEveryInstructionSetAndNumberOfHeads) {
  if (best_instruction_set() == InstructionSet::avx2) GTEST_SKIP() << "this processor has no AVX-512";
  for (const int64_t d : {2, 6, 16, 24, 48, 64, 80, 128}) {
    const Page page(kHeads, d);
    for (int heads = 1; heads <= kHeads; ++heads)
      for (const int64_t count : {1, 5, 16})
        EXPECT_EQ(page.run(avx512_attention(), heads, count), page.run(avx2_attention(), heads, count))
            << heads << " heads of " << d << ", " << count << " rows";
  }
}

}  // namespace
}  // namespace starling
