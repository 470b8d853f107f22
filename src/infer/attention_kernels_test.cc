#include "infer/attention_kernels.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <immintrin.h>

#include <cmath>
#include <functional>
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

// The same keys and values in two forms.
template <class Element>
struct Twins {
  KeysValues<Element> narrow;
  KeysValues<float> f32;
};

template <class Element>
Element narrowed(float value) {
  if constexpr (std::is_same_v<Element, int8_t>) return static_cast<int8_t>(value);
  else return static_cast<uint16_t>(_cvtss_sh(value, 0));
}

struct Page {
  Page(int most_heads, int64_t columns) : d(columns) {
    for (auto* values : {&q, &start}) fill(*values, most_heads * d, normal_f16());
    fill(weights, most_heads * kPagePositions, normal_f16());
    fill_twins(f16, normal_f16());
    std::uniform_int_distribution<int> bytes(-127, 127);
    fill_twins(int8, [&, bytes]() mutable { return static_cast<float>(bytes(random)); });
  }

  // Of as many heads a call as the kernels take.
  template <class Element>
  Results run(const AttentionKernels& kernels, const KeysValues<Element>& page, int heads, int64_t count) const {
    const PageKernels<Element>& page_kernels = kernels.of<Element>();
    Results results{std::vector<float>(static_cast<size_t>(heads * kPagePositions)), start};
    results.sums.resize(static_cast<size_t>(heads * d));
    for (int head = 0; head < heads; head += kernels.most_heads) {
      const int some = std::min(kernels.most_heads, heads - head);
      page_kernels.dots(some, results.scores.data() + head * kPagePositions, kPagePositions, q.data() + head * d,
                        page.keys.data(), page.keys.data(), d, 0.125f);
      page_kernels.add_rows(some, results.sums.data() + head * d, weights.data() + head * kPagePositions,
                            kPagePositions, page.values.data(), page.values.data(), count, d);
    }
    return results;
  }

  int64_t d;
  std::mt19937 random{7};
  std::vector<float> q, weights, start;
  Twins<uint16_t> f16;
  Twins<int8_t> int8;

 private:
  std::function<float()> normal_f16() {  // values that f16 holds exactly
    return [this] { return _cvtsh_ss(_cvtss_sh(std::normal_distribution<float>()(random), 0)); };
  }
  static void fill(std::vector<float>& values, int64_t count, const std::function<float()>& next) {
    for (int64_t i = 0; i < count; ++i) values.push_back(next());
  }
  template <class Element>
  void fill_twins(Twins<Element>& twins, const std::function<float()>& next) const {
    fill(twins.f32.keys, kPagePositions * d, next);
    fill(twins.f32.values, kPagePositions * d, next);
    for (const float value : twins.f32.keys) twins.narrow.keys.push_back(narrowed<Element>(value));
    for (const float value : twins.f32.values) twins.narrow.values.push_back(narrowed<Element>(value));
  }
};

constexpr int kHeads = 9;  // one more than the most of any kernel

TEST(AttentionKernels, AgreeWithSumsInDoublePrecision) {
  const int64_t d = 24, count = 11;
  const Page page(kHeads, d);
  const Results results = page.run(reference_attention(), page.f16.f32, kHeads, count);
  for (int64_t h = 0; h < kHeads; ++h) {
    for (int64_t p = 0; p < kPagePositions; ++p) {
      double dot = 0;
      for (int64_t i = 0; i < d; ++i) dot += double{page.q[h * d + i]} * page.f16.f32.keys[i * kPagePositions + p];
      EXPECT_NEAR(results.scores[h * kPagePositions + p], 0.125 * dot, 1e-5);
    }
    for (int64_t i = 0; i < d; ++i) {
      double sum = page.start[h * d + i];
      for (int64_t r = 0; r < count; ++r)
        sum += double{page.weights[h * kPagePositions + r]} * page.f16.f32.values[r * d + i];
      EXPECT_NEAR(results.sums[h * d + i], sum, 1e-5);
    }
  }
}

template <class Element>
void expect_the_same_bits(const Page& page, const Twins<Element>& twins, int heads, int64_t count) {
  const Results expected = page.run(reference_attention(), twins.f32, heads, count);
  EXPECT_EQ(page.run(reference_attention(), twins.narrow, heads, count), expected);
  EXPECT_EQ(page.run(avx2_attention(), twins.f32, heads, count), expected);
  EXPECT_EQ(page.run(avx2_attention(), twins.narrow, heads, count), expected);
  if (best_instruction_set() < InstructionSet::avx512_vnni) return;
  EXPECT_EQ(page.run(avx512_attention(), twins.f32, heads, count), expected);
  EXPECT_EQ(page.run(avx512_attention(), twins.narrow, heads, count), expected);
}

TEST(AttentionKernels, GiveTheSameBitsForNarrowElementsAndEveryInstructionSet) {
  for (const int64_t d : {2, 6, 16, 24, 48, 64, 80, 128}) {
    const Page page(kHeads, d);
    for (int heads = 1; heads <= kHeads; ++heads) {
      for (const int64_t count : {1, 5, 16}) {
        SCOPED_TRACE(fmt::format("{} heads of {}, {} positions", heads, d, count));
        expect_the_same_bits(page, page.f16, heads, count);
        expect_the_same_bits(page, page.int8, heads, count);
      }
    }
  }
}

}  // namespace
}  // namespace starling
