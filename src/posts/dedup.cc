#include "posts/dedup.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/hash.h"
#include "core/random.h"
#include "posts/entities.h"
#include "posts/text_clean.h"

namespace starling {
namespace {

// A bucket of a common template may be huge: each signature is compared with that many cluster heads of its bucket.
constexpr size_t kMaxHeads = 16;

// h_k(x) = high 32 bits of x * a_k + b_k modulo 2^64, a_k odd: pairwise independent (Dietzfelbinger 1996).
struct HashFamily {
  std::array<uint64_t, kMinHashes> a, b;
  HashFamily() {
    for (int k = 0; k < kMinHashes; ++k) {
      a[k] = random_u64(0x6d696e68617368, 0, static_cast<uint64_t>(k)) | 1;
      b[k] = random_u64(0x6d696e68617368, 1, static_cast<uint64_t>(k));
    }
  }
};

std::vector<size_t> character_starts(std::string_view text) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) starts.push_back(i);
  starts.push_back(text.size());
  return starts;
}

class UnionFind {
 public:
  explicit UnionFind(size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0u); }
  uint32_t find(uint32_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(uint32_t a, uint32_t b) {  // the earlier becomes the head
    a = find(a);
    b = find(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<uint32_t> parent_;
};

uint64_t band_hash(const MinHashSignature& signature, int band) {
  constexpr int kRows = kMinHashes / kBands;
  return hash64({reinterpret_cast<const char*>(signature.data() + band * kRows), kRows * sizeof(uint32_t)},
                static_cast<uint64_t>(band));
}

void join_band(const std::vector<MinHashSignature>& signatures, int band, double threshold, UnionFind& clusters) {
  std::vector<std::pair<uint64_t, uint32_t>> entries;
  entries.reserve(signatures.size());
  for (uint32_t i = 0; i < signatures.size(); ++i) entries.emplace_back(band_hash(signatures[i], band), i);
  std::sort(entries.begin(), entries.end());
  std::vector<uint32_t> heads;
  for (size_t e = 0; e < entries.size(); ++e) {
    const auto [hash, index] = entries[e];
    if (e == 0 || entries[e - 1].first != hash) heads.clear();
    const auto similar = std::find_if(heads.begin(), heads.end(), [&](uint32_t head) {
      return clusters.find(head) == clusters.find(index) ||
             estimated_similarity(signatures[head], signatures[index]) >= threshold;
    });
    if (similar != heads.end()) clusters.join(*similar, index);
    else if (heads.size() < kMaxHeads) heads.push_back(index);
  }
}

}  // namespace

std::string normalize_for_duplicates(std::string_view text) {
  std::string normalized;
  for (size_t position = 0; position < text.size();) {
    if (const size_t url = text[position] == 'h' ? url_length(text.substr(position)) : 0; url > 0) {
      position += url;
      continue;
    }
    if (text[position] == '@') {
      for (++position; position < text.size() &&
                       (std::isalnum(static_cast<unsigned char>(text[position])) || text[position] == '_');)
        ++position;
      continue;
    }
    UChar32 c = 0;
    auto i = static_cast<int32_t>(position);
    U8_NEXT(text.data(), i, static_cast<int32_t>(text.size()), c);
    position = static_cast<size_t>(i);
    if (c >= 0 && u_isalnum(c)) append_utf8(normalized, static_cast<char32_t>(u_tolower(c)));
  }
  return normalized;
}

MinHashSignature minhash_signature(std::string_view normalized) {
  static const HashFamily family;
  MinHashSignature signature;
  signature.fill(std::numeric_limits<uint32_t>::max());
  const std::vector<size_t> starts = character_starts(normalized);
  const size_t characters = starts.size() - 1;
  const size_t shingles = characters > kShingleCharacters ? characters - kShingleCharacters + 1 : 1;
  for (size_t s = 0; s < shingles; ++s) {
    const size_t end = starts[std::min(s + kShingleCharacters, characters)];
    const uint64_t x = hash64(normalized.substr(starts[s], end - starts[s]));
    for (int k = 0; k < kMinHashes; ++k)
      signature[k] = std::min(signature[k], static_cast<uint32_t>((x * family.a[k] + family.b[k]) >> 32));
  }
  return signature;
}

double estimated_similarity(const MinHashSignature& a, const MinHashSignature& b) {
  int equal = 0;
  for (int k = 0; k < kMinHashes; ++k) equal += a[k] == b[k] ? 1 : 0;
  return static_cast<double>(equal) / kMinHashes;
}

std::vector<uint32_t> near_duplicate_clusters(const std::vector<MinHashSignature>& signatures, double threshold) {
  UnionFind clusters(signatures.size());
  for (int band = 0; band < kBands; ++band) join_band(signatures, band, threshold, clusters);
  std::vector<uint32_t> heads(signatures.size());
  for (uint32_t i = 0; i < heads.size(); ++i) heads[i] = clusters.find(i);
  return heads;
}

}  // namespace starling
