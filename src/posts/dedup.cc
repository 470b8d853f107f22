#include "posts/dedup.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <tuple>

#include "core/hash.h"
#include "core/random.h"
#include "core/threads.h"
#include "posts/characters.h"
#include "posts/entities.h"
#include "posts/external_sort.h"
#include "posts/scratch_rows.h"
#include "posts/text_clean.h"

namespace starling {
namespace {

constexpr uint64_t kNoText = std::numeric_limits<uint64_t>::max();

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

// signature[k] = min over x of h_k(x), for every k at once. One text compiled twice: AVX-512 multiplies eight 64-bit
// numbers at a time, AVX2 cannot.
[[gnu::always_inline]] inline void take_minima(const std::vector<uint64_t>& hashes, MinHashSignature& signature) {
  static const HashFamily family;
  for (int first = 0; first < kMinHashes; first += 16) {
    std::array<uint32_t, 16> minima;
    std::copy_n(signature.begin() + first, 16, minima.begin());
    for (const uint64_t x : hashes)
      for (int k = 0; k < 16; ++k)
        minima[k] = std::min(minima[k], static_cast<uint32_t>((x * family.a[first + k] + family.b[first + k]) >> 32));
    std::copy(minima.begin(), minima.end(), signature.begin() + first);
  }
}
void take_minima_any(const std::vector<uint64_t>& hashes, MinHashSignature& signature) {
  take_minima(hashes, signature);
}
[[gnu::target("avx512f,avx512dq,avx512vl"), gnu::optimize("O3")]] void take_minima_avx512(
    const std::vector<uint64_t>& hashes, MinHashSignature& signature) {
  take_minima(hashes, signature);
}

std::vector<size_t> character_starts(std::string_view text) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) starts.push_back(i);
  starts.push_back(text.size());
  return starts;
}

// For any number of threads at once. A head is the earliest of its set, so a parent never comes after its child and the
// sets do not depend on the order of joining [Anderson and Woll 1991].
class UnionFind {
 public:
  explicit UnionFind(std::span<uint64_t> parents) : parents_(parents) {}  // at first each its own
  uint64_t find(uint64_t i) {
    for (;;) {
      uint64_t parent = at(i).load(std::memory_order_relaxed);
      if (parent == i) return i;
      const uint64_t grandparent = at(parent).load(std::memory_order_relaxed);
      at(i).compare_exchange_weak(parent, grandparent, std::memory_order_relaxed);  // one that fails shortens nothing
      i = grandparent;
    }
  }
  void join(uint64_t a, uint64_t b) {
    for (;;) {
      a = find(a);
      b = find(b);
      if (a == b) return;
      uint64_t later = std::max(a, b);  // a head, unless another thread has just joined it
      if (at(later).compare_exchange_strong(later, std::min(a, b), std::memory_order_relaxed)) return;
    }
  }

 private:
  std::atomic_ref<uint64_t> at(uint64_t i) { return std::atomic_ref(parents_[i]); }

  std::span<uint64_t> parents_;
};

uint64_t band_hash(const MinHashSignature& signature, int band) {
  constexpr int kRows = kMinHashes / kBands;
  return hash64({reinterpret_cast<const char*>(signature.data() + band * kRows), kRows * sizeof(uint32_t)},
                static_cast<uint64_t>(band));
}

// Of a band: which signature has which hash.
struct BandEntry {
  uint64_t hash, signature;
  auto operator<=>(const BandEntry&) const = default;
};

// One whose hash another has, too.
struct SharedEntry {
  uint64_t signature, hash;
  auto operator<=>(const SharedEntry&) const = default;
};

struct BucketEntry {
  uint64_t hash, text;
  MinHashSignature signature;
  bool operator<(const BucketEntry& other) const { return std::tie(hash, text) < std::tie(other.hash, other.text); }
};

// Signatures are read from the first to the last, never here and there: they may be more than the memory holds.
class NearDuplicateSearch {
 public:
  // texts: of each signature, kNoText for none.
  NearDuplicateSearch(std::span<const MinHashSignature> signatures, std::span<const uint64_t> texts,
                      const NearDuplicateOptions& options, std::span<uint64_t> parents)
      : signatures_(signatures), texts_(texts), options_(options), clusters_(parents) {}

  // Each thread searches one band at a time and joins what it finds there. What a band says does not depend on what
  // the others said, so threads do not change the clusters.
  void run(uint64_t memory_bytes) {
    const uint64_t sort_bytes = memory_bytes / 3 / static_cast<uint64_t>(std::min(compute_threads(), kBands));
    parallel_for(kBands, 1, [&](int64_t begin, int64_t end) {
      ExternalSort<BandEntry> band(sort_bytes, options_.folder);
      ExternalSort<SharedEntry> shared(sort_bytes, options_.folder);
      ExternalSort<BucketEntry> buckets(sort_bytes, options_.folder);
      for (int64_t i = begin; i < end; ++i) {
        collect(static_cast<int>(i), band);
        take_shared(band, shared);
        add_signatures(shared, buckets);
        join(buckets);
      }
    });
  }

  bool is_duplicate(uint64_t i) { return clusters_.find(i) != i; }

 private:
  void collect(int number, ExternalSort<BandEntry>& band) const {
    for (uint64_t s = 0; s < signatures_.size(); ++s) {
      options_.before_row(s);
      if (texts_[s] != kNoText) band.push({band_hash(signatures_[s], number), s});
    }
  }

  void take_shared(ExternalSort<BandEntry>& band, ExternalSort<SharedEntry>& shared) const {
    BandEntry last{};
    bool last_shares = false;
    uint64_t row = 0;
    band.drain([&](const BandEntry& entry) {
      const bool shares = row > 0 && entry.hash == last.hash;
      options_.before_row(row++);
      if (shares && !last_shares) shared.push({last.signature, last.hash});
      if (shares) shared.push({entry.signature, entry.hash});
      last = entry;
      last_shares = shares;
    });
  }

  void add_signatures(ExternalSort<SharedEntry>& shared, ExternalSort<BucketEntry>& buckets) const {
    uint64_t row = 0;
    shared.drain([&](const SharedEntry& entry) {
      options_.before_row(row++);
      buckets.push({entry.hash, texts_[entry.signature], signatures_[entry.signature]});
    });
  }

  void join(ExternalSort<BucketEntry>& buckets) {
    std::vector<BucketEntry> heads;  // of the bucket: none is similar to another
    uint64_t row = 0;
    buckets.drain([&](const BucketEntry& entry) {
      options_.before_row(row++);
      if (!heads.empty() && entry.hash != heads.front().hash) heads.clear();
      const auto similar = std::find_if(heads.begin(), heads.end(), [&](const BucketEntry& head) {
        return estimated_similarity(head.signature, entry.signature) >= options_.threshold;
      });
      if (similar != heads.end()) clusters_.join(similar->text, entry.text);
      else if (heads.size() < kMaxHeads) heads.push_back(entry);
    });
  }

  std::span<const MinHashSignature> signatures_;
  std::span<const uint64_t> texts_;
  const NearDuplicateOptions& options_;
  UnionFind clusters_;
};

}  // namespace

std::string normalize_for_duplicates(std::string_view text) {
  std::string normalized;
  normalized.reserve(text.size());
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
    const UChar32 c = next_character(text, position);
    if (c < 0 || !is_letter_or_digit(c)) continue;
    if (c < 0x80) normalized += static_cast<char>(lower_case(c));
    else append_utf8(normalized, static_cast<char32_t>(lower_case(c)));
  }
  return normalized;
}

MinHashSignature minhash_signature(std::string_view normalized) {
  MinHashSignature signature;
  signature.fill(std::numeric_limits<uint32_t>::max());
  const std::vector<size_t> starts = character_starts(normalized);
  const size_t characters = starts.size() - 1;
  const size_t shingles = characters > kShingleCharacters ? characters - kShingleCharacters + 1 : 1;
  std::vector<uint64_t> hashes;
  hashes.reserve(shingles);
  for (size_t s = 0; s < shingles; ++s) {
    const size_t end = starts[std::min(s + kShingleCharacters, characters)];
    hashes.push_back(hash64(normalized.substr(starts[s], end - starts[s])));
  }
  static const bool avx512 = __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
  (avx512 ? take_minima_avx512 : take_minima_any)(hashes, signature);
  return signature;
}

double estimated_similarity(const MinHashSignature& a, const MinHashSignature& b) {
  int equal = 0;
  for (int k = 0; k < kMinHashes; ++k) equal += a[k] == b[k] ? 1 : 0;
  return static_cast<double>(equal) / kMinHashes;
}

std::vector<bool> near_duplicates(std::span<const MinHashSignature> signatures, std::span<const uint64_t> order,
                                  const NearDuplicateOptions& options) {
  const uint64_t list_bytes = options.memory_bytes / 4;
  ScratchRows<uint64_t> parents(list_bytes, options.folder), texts(list_bytes, options.folder);
  for (uint64_t i = 0; i < order.size(); ++i) parents.push(i);
  for (uint64_t s = 0; s < signatures.size(); ++s) texts.push(kNoText);
  const std::span<uint64_t> text_of = texts.rows();
  for (uint64_t i = 0; i < order.size(); ++i) text_of[order[i]] = i;
  NearDuplicateSearch search(signatures, text_of, options, parents.rows());
  search.run(options.memory_bytes - 2 * list_bytes);
  std::vector<bool> duplicates(order.size());
  for (uint64_t i = 0; i < order.size(); ++i) duplicates[i] = search.is_duplicate(i);
  return duplicates;
}

}  // namespace starling
