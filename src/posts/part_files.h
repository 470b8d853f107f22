// The share of one machine in `prepare --shard i/n`, as files in shards.parts/ of the workspace:
//   i-of-n.texts, .signatures, .records   what the first half of prepare found out about the posts of its segments
//   i-of-n.json                           counts, and the SHA-256 of those files; written last
// docs/formats/shards.md describes them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "posts/prepare.h"

namespace starling {

struct PartManifest {
  std::string inputs;  // SHA-256 of the settings and the names of all segments: equal in all parts of one run
  uint64_t posts = 0;
  std::array<uint64_t, kDropReasons> dropped{};
  std::vector<std::string> languages;  // in the order of the records' indices
};

std::filesystem::path parts_folder(const Workspace& workspace);
std::filesystem::path part_file(const Workspace& workspace, const Part& part, const std::string& extension);

// Durable when it returns.
void write_part_manifest(const Workspace& workspace, const Part& part, const PartManifest& manifest);

// All parts of which there are texts, whole or not.
std::vector<Part> parts_of(const Workspace& workspace);
void remove_part(const Workspace& workspace, const Part& part);  // throws IoError

// Throws IoError when the part is missing, DataError when a file of it is damaged; both name the command to run.
PartManifest read_part_manifest(const Workspace& workspace, const Part& part);

}  // namespace starling
