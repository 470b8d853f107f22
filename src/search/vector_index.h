// The posts' embeddings: one row a post, L2-normalised f32, searched by inner product (faiss) straight from the mapped
// file.
//
//   index/vectors.json          model, hidden_size, probe, generation, vector_weight; the probe is the embedding of
//                               kProbeText and tells one training of a model from another
//   index/vectors-<generation>/rows.f32     rows of hidden_size little-endian f32
//   index/vectors-<generation>/docids.u32   the row's document number in the lexical index; 0: erased
//
// Rows ascend by docid. A crash between the two files leaves a longer rows.f32: the surplus is cut on open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "search/post_index.h"

namespace starling {

inline constexpr const char* kProbeText = "the first post of the day";

// Before it is measured: a language model that was not tuned for search ranks far worse than words do.
inline constexpr double kUntunedVectorWeight = 0.1;

struct VectorsHeader {
  std::string model;
  int64_t hidden_size = 0;
  std::vector<float> probe;
  std::string generation;
  double vector_weight = kUntunedVectorWeight;  // share of the fused score, measured on development queries
};

// None when index/ has no vectors. Throws DataError for a damaged vectors.json.
std::optional<VectorsHeader> read_vectors_header(const std::filesystem::path& index_folder);

// True when the embeddings of `probe`'s model belong with these: same width, cosine above 0.999.
bool same_embedder(const VectorsHeader& header, std::span<const float> probe);

struct VectorMatch {
  DocId docid = 0;
  float cosine = 0;
};

class VectorIndex {
 public:
  enum class Mode { read, write };
  // Opens what `header` describes. In write mode also cuts the surplus of a crash and removes other generations.
  VectorIndex(const std::filesystem::path& index_folder, const VectorsHeader& header, Mode mode);
  ~VectorIndex();
  // Writes the header again, with another vector_weight.
  static void save_header(const std::filesystem::path& index_folder, const VectorsHeader& header);
  // An empty index for a new model: replaces vectors.json atomically, then removes the older generation.
  static VectorsHeader start(const std::filesystem::path& index_folder, const std::string& model,
                             std::span<const float> probe);

  // The `limit` nearest rows, best first; only those in `allowed` when given. Thread-safe.
  std::vector<VectorMatch> find(std::span<const float> query, int limit,
                                const std::unordered_set<DocId>* allowed) const;
  // The cosines of these posts, in their order; those without a vector are left out. Thread-safe.
  std::vector<VectorMatch> cosines(std::span<const float> query, const std::vector<DocId>& docids) const;
  std::vector<float> row(DocId docid) const;  // empty when the post has none; thread-safe
  // Durable on return. Docids ascend and lie above last_docid().
  void append(const std::vector<DocId>& docids, const std::vector<std::vector<float>>& rows);
  void erase(const std::vector<DocId>& docids);  // overwrites the rows with zeros, durable on return
  // Sees what another process has appended. When that made the vectors anew, these stay as they were.
  void refresh();
  const VectorsHeader& header() const;
  DocId last_docid() const;
  std::vector<DocId> docids() const;  // of the rows that are not erased, ascending
  uint64_t size() const;              // rows, erased ones included

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling
