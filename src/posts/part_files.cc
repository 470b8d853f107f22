#include "posts/part_files.h"

#include <fmt/format.h>

#include <cstdio>
#include <system_error>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kPartVersion = 2;  // 2: records number signatures in 64 bits
constexpr std::array<const char*, 3> kExtensions = {"texts", "signatures", "records"};

std::string command(const Part& part) {
  return fmt::format("run `starling prepare --shard {}/{}` again", part.index, part.count);
}

}  // namespace

fs::path parts_folder(const Workspace& workspace) { return workspace.root / "shards.parts"; }

fs::path part_file(const Workspace& workspace, const Part& part, const std::string& extension) {
  return parts_folder(workspace) / fmt::format("{:05}-of-{:05}.{}", part.index, part.count, extension);
}

void write_part_manifest(const Workspace& workspace, const Part& part, const PartManifest& manifest) {
  Json files;
  for (const char* extension : kExtensions) files[extension] = sha256_file_hex(part_file(workspace, part, extension));
  const Json json = {{"format", "starling-prepare-part"},
                     {"version", kPartVersion},
                     {"inputs", manifest.inputs},
                     {"posts", manifest.posts},
                     {"dropped", manifest.dropped},
                     {"languages", manifest.languages},
                     {"files", files}};
  write_file_atomic(part_file(workspace, part, "json"), dump_json(json, 1) + "\n");
}

std::vector<Part> parts_of(const Workspace& workspace) {
  std::vector<Part> parts;
  if (!fs::exists(parts_folder(workspace))) return parts;
  for (const auto& entry : fs::directory_iterator(parts_folder(workspace))) {
    Part part;
    if (std::sscanf(entry.path().filename().c_str(), "%u-of-%u.texts", &part.index, &part.count) == 2 &&
        entry.path() == part_file(workspace, part, "texts"))
      parts.push_back(part);
  }
  return parts;
}

void remove_part(const Workspace& workspace, const Part& part) {
  for (const char* extension : {"json", "texts", "signatures", "records"}) {
    const fs::path file = part_file(workspace, part, extension);
    std::error_code code;
    fs::remove(file, code);
    if (code) throw IoError(fmt::format("{}: cannot remove the file: {}", file.string(), code.message()));
  }
}

PartManifest read_part_manifest(const Workspace& workspace, const Part& part) {
  const fs::path path = part_file(workspace, part, "json");
  if (!fs::exists(path)) throw IoError(fmt::format("{}: this part is missing; {}", path.string(), command(part)));
  PartManifest manifest;
  try {
    const Json json = parse_ordered_json(read_file(path));
    if (json.at("format") != "starling-prepare-part" || json.at("version") != kPartVersion)
      throw DataError(fmt::format("{}: another format; {}", path.string(), command(part)));
    manifest = {json.at("inputs"), json.at("posts"), json.at("dropped"), json.at("languages")};
    for (const char* extension : kExtensions) {
      const fs::path file = part_file(workspace, part, extension);
      if (!fs::exists(file) || sha256_file_hex(file) != json.at("files").at(extension).get<std::string>())
        throw DataError(fmt::format("{}: missing or damaged; {}", file.string(), command(part)));
    }
  } catch (const Json::exception&) {
    throw DataError(fmt::format("{}: damaged; {}", path.string(), command(part)));
  }
  return manifest;
}

}  // namespace starling
