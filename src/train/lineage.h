// Which models saw which posts: `seen.bin` beside every checkpoint and model, sorted 64-bit hashes of the ids of the
// posts and authors that training had read. A hash of another id can match by chance (about n / 2^64), an id that was
// read always does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/workspace.h"

namespace starling {

class SeenIds {
 public:
  void add(std::string_view kind, std::string_view id);  // kind: "post" or "author"
  void merge(const std::filesystem::path& seen_bin);     // throws IoError, DataError
  void save(const std::filesystem::path& seen_bin);      // sorted, without repetitions
  static bool contains(const std::filesystem::path& seen_bin, std::string_view kind, std::string_view id);
  static SeenIds load(const std::filesystem::path& seen_bin);       // for many questions; throws as merge()
  bool contains(std::string_view kind, std::string_view id) const;  // of what was loaded
  size_t size() const { return hashes_.size(); }

 private:
  std::vector<uint64_t> hashes_;
};

// "models/own", "runs/own/checkpoints/step-00000200", ... in this order. Folders without seen.bin (imported models) are
// not named. Throws DataError when a seen.bin is damaged: then nobody can say.
std::vector<std::string> checkpoints_that_saw(const Workspace& workspace, const std::string& kind,
                                              const std::string& id);

}  // namespace starling
