#include "infer/ngram_draft.h"

#include <algorithm>

namespace starling {
namespace {

constexpr int64_t kLongestDraft = 8, kPauseSteps = 16;

}  // namespace

std::span<const TokenId> ngram_draft(std::span<const TokenId> tokens, int64_t most) {
  const auto size = static_cast<int64_t>(tokens.size());
  for (int64_t n = std::min<int64_t>(4, size - 1); n >= 2 && most > 0; --n) {
    const std::span<const TokenId> last = tokens.last(n);
    for (int64_t first = size - n - 1; first >= 0; --first) {
      if (!std::equal(last.begin(), last.end(), tokens.begin() + first)) continue;
      return tokens.subspan(first + n, std::min(most, size - first - n));
    }
  }
  return {};
}

int64_t DraftLength::next() {
  if (pause_ > 0) --pause_;
  return pause_ > 0 ? 0 : length_;
}

void DraftLength::learn(int64_t guessed, int64_t right) {
  if (right == guessed) length_ = std::min(kLongestDraft, length_ + 2);
  else if (right == 0) length_ = std::max<int64_t>(1, length_ / 2);
  if (right == 0 && length_ == 1) pause_ = kPauseSteps;
}

}  // namespace starling
