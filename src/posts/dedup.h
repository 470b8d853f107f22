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
#include <string>
#include <string_view>
#include <vector>

namespace starling {

inline constexpr int kMinHashes = 64;
inline constexpr int kBands = 16;
inline constexpr int kShingleCharacters = 5;

using MinHashSignature = std::array<uint32_t, kMinHashes>;

std::string normalize_for_duplicates(std::string_view text);

// Of a normalised text; texts shorter than one shingle have one shingle: themselves.
MinHashSignature minhash_signature(std::string_view normalized);

// Fraction of equal entries: an estimate of the Jaccard similarity of the shingles, standard error at most 1/16.
double estimated_similarity(const MinHashSignature& a, const MinHashSignature& b);

// For each signature the index of the earliest one of its cluster; its own index when it is the earliest. Clusters are
// the connected components of pairs with a similarity of at least `threshold`. Memory: 24 bytes a signature.
std::vector<uint32_t> near_duplicate_clusters(const std::vector<MinHashSignature>& signatures, double threshold);

}  // namespace starling
