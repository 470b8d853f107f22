#include "train/kneser_ney.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "core/random.h"

namespace starling {
namespace {

using Gram = std::vector<TokenId>;
constexpr TokenId kBegin = 0;

// Sequences of a skewed alphabet 1..vocab-1, each starting with kBegin.
std::vector<TokenId> random_tokens(uint64_t seed, int sequences, int length, int64_t vocab_size) {
  std::vector<TokenId> tokens;
  for (int s = 0; s < sequences; ++s) {
    tokens.push_back(kBegin);
    for (int i = 0; i < length; ++i) {
      const double u = random_uniform(seed, s, i);
      tokens.push_back(1 + static_cast<TokenId>(u * u * static_cast<double>(vocab_size - 1)));
    }
  }
  return tokens;
}

// The formula of the header written with maps, as slow as it is plain.
class PlainKneserNey {
 public:
  PlainKneserNey(const std::vector<TokenId>& tokens, int64_t vocab_size, int order)
      : vocab_size_(vocab_size), order_(order) {
    std::map<Gram, std::set<TokenId>> before;
    for (size_t i = 0; i < tokens.size(); ++i) {
      Gram gram;
      for (size_t j = i; j < tokens.size() && j < i + order && (j == i || tokens[j] != kBegin); ++j) {
        gram.push_back(tokens[j]);
        ++counts_[gram];
        if (i > 0 && tokens[i] != kBegin) before[gram].insert(tokens[i - 1]);
      }
    }
    for (auto& [gram, count] : counts_) {
      if (gram.size() < static_cast<size_t>(order) && gram[0] != kBegin) count = before[gram].size();
    }
    counts_.erase(Gram{kBegin});
    for (int n = 1; n <= order; ++n) estimate(n);
  }

  double probability(Gram history, TokenId token) const {
    if (history.size() >= static_cast<size_t>(order_)) history.erase(history.begin(), history.end() - (order_ - 1));
    Gram shorter(history.begin() + (history.empty() ? 0 : 1), history.end());
    const double lower = history.empty() ? 1.0 / vocab_size_ : probability(shorter, token);
    double total = 0, discounted = 0;
    for (TokenId v = 0; v < vocab_size_; ++v) {
      total += count(history, v);
      discounted += discount(history.size() + 1, count(history, v));
    }
    if (total == 0) return lower;
    const double a = count(history, token);
    return (a - discount(history.size() + 1, a)) / total + discounted / total * lower;
  }

 private:
  double count(Gram history, TokenId token) const {
    history.push_back(token);
    const auto found = counts_.find(history);
    return found == counts_.end() ? 0 : found->second;
  }
  double discount(size_t n, double a) const { return discounts_.at(n)[static_cast<size_t>(std::min(a, 3.0))]; }
  void estimate(size_t n) {
    double t[5] = {};
    for (const auto& [gram, count] : counts_) {
      if (gram.size() == n && count >= 1 && count <= 4) ++t[static_cast<int>(count)];
    }
    std::array<double, 4> d = {0, 0.5, 1, 1.5};
    if (t[1] > 0 && t[2] > 0 && t[3] > 0) {
      const double y = t[1] / (t[1] + 2 * t[2]);
      for (int k = 1; k <= 3; ++k) {
        const double estimate = k - (k + 1) * y * t[k + 1] / t[k];
        if (estimate > 0 && estimate <= k) d[k] = estimate;
      }
    }
    discounts_[n] = d;
  }

  int64_t vocab_size_;
  int order_;
  std::map<Gram, double> counts_;
  std::map<size_t, std::array<double, 4>> discounts_;
};

TEST(KneserNey, EqualsTheFormulaWrittenWithMaps) {
  constexpr int64_t kVocab = 7;
  const auto tokens = random_tokens(1, 30, 12, kVocab);
  for (const int order : {1, 2, 3, 5}) {
    const KneserNey model(tokens, kBegin, kVocab, order);
    const PlainKneserNey plain(tokens, kVocab, order);
    for (uint64_t round = 0; round < 200; ++round) {
      Gram history;
      if (round % 3 == 0) history.push_back(kBegin);
      for (uint64_t i = 0; i < round % 6; ++i) history.push_back(1 + random_u64(2, round, i) % (kVocab - 1));
      for (TokenId token = 0; token < kVocab; ++token) {
        // f32 holds the weights of contexts: relative error 6e-8 an order.
        EXPECT_NEAR(model.probability(history, token), plain.probability(history, token), 1e-6) << "order " << order;
      }
    }
  }
}

TEST(KneserNey, ProbabilitiesOfAContextSumToOne) {
  constexpr int64_t kVocab = 50;
  const KneserNey model(random_tokens(3, 200, 20, kVocab), kBegin, kVocab, 5);
  for (uint64_t round = 0; round < 300; ++round) {  // seen and unseen contexts, and the start of a sequence
    Gram history;
    if (round % 2 == 0) history.push_back(kBegin);
    for (uint64_t i = 0; i < round % 5; ++i) history.push_back(1 + random_u64(4, round, i) % 5);
    double sum = 0;
    for (TokenId token = 0; token < kVocab; ++token) {
      EXPECT_GT(model.probability(history, token), 0);
      sum += model.probability(history, token);
    }
    EXPECT_NEAR(sum, 1.0, 1e-6);
  }
}

TEST(KneserNey, HandCountedBigrams) {
  // Sequences [0 1 2] and [0 1 1]; with so few n-grams D = 0.5, 1, 1.5 for a = 1, 2, 3+.
  // Unigrams by distinct predecessors: a(1) = 2 {0, 1}, a(2) = 1 {1}. p(1) = (2-1)/3 + (1+.5)/3 * 1/3 = 0.5.
  // After 1: a(1 2) = 1, a(1 1) = 1. p(1 | 1) = (1-.5)/2 + (.5+.5)/2 * p(1) = 0.5.
  const std::vector<TokenId> tokens = {0, 1, 2, 0, 1, 1};
  const KneserNey model(tokens, kBegin, 3, 2);
  EXPECT_NEAR(model.probability({}, 1), 0.5, 1e-6);
  EXPECT_NEAR(model.probability(std::vector<TokenId>{1}, 1), 0.5, 1e-6);
  // After 0: a(0 1) = 2. p(1 | 0) = (2-1)/2 + 1/2 * 0.5 = 0.75.
  EXPECT_NEAR(model.probability(std::vector<TokenId>{0}, 1), 0.75, 1e-6);
}

TEST(KneserNey, RepeatedSequencesAreLearned) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < 50; ++i) tokens.insert(tokens.end(), {0, 1, 2, 3, 4, 5, 6, 7});
  const KneserNey model(tokens, kBegin, 100, 5);
  EXPECT_GT(model.probability(std::vector<TokenId>{2, 3, 4, 5}, 6), 0.9);
}

TEST(KneserNey, RefusesATokenOutsideTheVocabulary) {
  EXPECT_THROW(KneserNey(std::vector<TokenId>{0, 9}, kBegin, 9, 5), DataError);
}

TEST(KneserNey, WithoutTextEveryTokenIsEquallyLikely) {
  EXPECT_NEAR(KneserNey({}, kBegin, 10, 5).probability(std::vector<TokenId>{1, 2}, 3), 0.1, 1e-9);
}

}  // namespace
}  // namespace starling
