#include "train/lineage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"

namespace starling {
namespace {

// "STSEEN01", u64 count, u64 XXH3 of the hashes' bytes, then the hashes; little-endian.
constexpr std::string_view kMagic = "STSEEN01";
constexpr size_t kHeaderBytes = 24;

uint64_t id_hash(std::string_view kind, std::string_view id) { return hash64(id, kind == "author" ? 1 : 2); }

std::vector<uint64_t> parse(std::string_view bytes, const std::filesystem::path& path) {
  uint64_t count = 0, digest = 0;
  const bool has_header = bytes.size() >= kHeaderBytes && bytes.starts_with(kMagic);
  if (has_header) {
    std::memcpy(&count, bytes.data() + 8, 8);
    std::memcpy(&digest, bytes.data() + 16, 8);
  }
  const std::string_view body = has_header ? bytes.substr(kHeaderBytes) : std::string_view();
  if (!has_header || body.size() / 8 != count || body.size() % 8 != 0 || hash64(body) != digest)
    throw DataError(
        fmt::format("{}: damaged list of seen posts; train the model again or delete its folder", path.string()));
  std::vector<uint64_t> hashes(count);
  if (count > 0) std::memcpy(hashes.data(), body.data(), body.size());
  return hashes;
}

std::vector<std::filesystem::path> sorted_folders(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  if (!std::filesystem::is_directory(folder)) return found;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.is_directory() && !entry.path().filename().string().starts_with(".")) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

// A trainer that goes on removes old checkpoints meanwhile: one that is gone saw nothing.
bool saw(const std::filesystem::path& folder, const std::string& kind, const std::string& id) {
  const std::filesystem::path list = folder / "seen.bin";
  try {
    return std::filesystem::exists(list) && SeenIds::contains(list, kind, id);
  } catch (const IoError&) {
    if (std::filesystem::exists(list)) throw;
    return false;
  }
}

}  // namespace

void SeenIds::add(std::string_view kind, std::string_view id) {
  if (!id.empty()) hashes_.push_back(id_hash(kind, id));
}

void SeenIds::merge(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::vector<uint64_t> more = parse(file.text(), path);
  hashes_.insert(hashes_.end(), more.begin(), more.end());
}

void SeenIds::save(const std::filesystem::path& path) {
  std::sort(hashes_.begin(), hashes_.end());
  hashes_.erase(std::unique(hashes_.begin(), hashes_.end()), hashes_.end());
  const std::string_view body(reinterpret_cast<const char*>(hashes_.data()), hashes_.size() * 8);
  const uint64_t count = hashes_.size(), digest = hash64(body);
  write_file_atomic(path, [&](const AppendBytes& append) {
    append(kMagic.data(), kMagic.size());
    append(&count, 8);
    append(&digest, 8);
    append(body.data(), body.size());
  });
}

SeenIds SeenIds::load(const std::filesystem::path& path) {
  SeenIds seen;
  seen.merge(path);
  return seen;
}

bool SeenIds::contains(std::string_view kind, std::string_view id) const {
  return std::binary_search(hashes_.begin(), hashes_.end(), id_hash(kind, id));
}

bool SeenIds::contains(const std::filesystem::path& path, std::string_view kind, std::string_view id) {
  return load(path).contains(kind, id);
}

std::vector<std::string> checkpoints_that_saw(const Workspace& workspace, const std::string& kind,
                                              const std::string& id) {
  std::vector<std::filesystem::path> folders = sorted_folders(workspace.models());
  for (const auto& run : sorted_folders(workspace.runs()))
    for (const auto& checkpoint : sorted_folders(run / "checkpoints")) folders.push_back(checkpoint);
  std::vector<std::string> found;
  for (const auto& folder : folders)
    if (saw(folder, kind, id)) found.push_back(folder.lexically_relative(workspace.root).string());
  return found;
}

}  // namespace starling
