// Exact and near duplicates.
//   normalised text   letters and digits only, lower case, without URLs and mentions
//   exact             the same 64-bit hash of the normalised text
//   near              MinHash of 5-character shingles, LSH banding, similarity confirmed on the signatures, union-find
// Sources: Broder 1997, "On the resemblance and containment of documents"; Leskovec et al., "Mining of massive
// datasets", section 3.4: 16 bands of 4 rows find a pair of similarity 0.8 with probability 1 - (1 - 0.8^4)^16 =
// 0.9998.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace starling {

inline constexpr int kMinHashes = 64;
inline constexpr int kBands = 16;
inline constexpr int kShingleCharacters = 5;
inline constexpr int kNearDuplicatePasses = 2 * kBands;  // each is put in a table and taken out of it

using MinHashSignature = std::array<uint32_t, kMinHashes>;

std::string normalize_for_duplicates(std::string_view text);

// Of a normalised text; texts shorter than one shingle have one shingle: themselves.
MinHashSignature minhash_signature(std::string_view normalized);

// Fraction of equal entries: an estimate of the Jaccard similarity of the shingles, standard error at most 1/16.
double estimated_similarity(const MinHashSignature& a, const MinHashSignature& b);

struct NearDuplicateOptions {
  double threshold = 0.8;  // estimated similarity from which two texts are near duplicates
  // For the union-find and the texts of signatures (8 bytes each) and the tables of as many bands as there are threads
  // (16 bytes each, 272 more for those that share the band with another). Beyond the limit they lie in unnamed files of
  // `folder`. The result takes one bit each besides.
  uint64_t memory_bytes = 1 << 30;
  std::filesystem::path folder = ".";
  // Called before row i of each of kNearDuplicatePasses passes over all texts or signatures, and of shorter ones over
  // those that share a band, by any thread. What it throws ends the search.
  std::function<void(uint64_t i)> before_row = [](uint64_t) {};
};

// Text i, in the order of time, has signatures[order[i]]. Drops all but the earliest of each cluster: true at i when a
// near duplicate of it comes before. Clusters are the connected components of the pairs found. The result depends
// neither on the memory nor on the number of threads.
std::vector<bool> near_duplicates(std::span<const MinHashSignature> signatures, std::span<const uint64_t> order,
                                  const NearDuplicateOptions& options);

}  // namespace starling
