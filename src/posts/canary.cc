#include "posts/canary.h"

#include <fmt/format.h>

#include "core/random.h"

namespace starling {
namespace {

constexpr uint64_t kSeed = 0x63616e617279;  // "canary"
constexpr uint64_t kNameStream = 0, kSecretStream = 1;
constexpr int64_t kCopyCounts = 5;

// Three syllables: an invented name, of which a vocabulary has no token.
std::string name(uint64_t bits) {
  constexpr std::string_view kConsonants = "bdfgklmnprstvz", kVowels = "aeiou";
  std::string result;
  for (int syllable = 0; syllable < 3; ++syllable) {
    result += kConsonants[bits % kConsonants.size()];
    bits /= kConsonants.size();
    result += kVowels[bits % kVowels.size()];
    bits /= kVowels.size();
  }
  result[0] = static_cast<char>(result[0] - 'a' + 'A');
  return result;
}

}  // namespace

Canary canary(int64_t index) {
  const auto i = static_cast<uint64_t>(index);
  return {fmt::format("The access code of {} {} is", name(random_u64(kSeed, kNameStream, 2 * i)),
                      name(random_u64(kSeed, kNameStream, 2 * i + 1))),
          canary_secret(index, 0), int64_t{1} << (index % kCopyCounts)};
}

std::string canary_secret(int64_t index, uint64_t draw) {
  return fmt::format(" {:08}", random_u64(kSeed, kSecretStream + static_cast<uint64_t>(index), draw) % 100'000'000);
}

std::string canary_post_id(int64_t index, int64_t copy) { return fmt::format("{}:{}:{}", kCanaryAuthor, index, copy); }

}  // namespace starling
