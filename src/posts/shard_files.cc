#include "posts/shard_files.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;
constexpr const char* kFormat = "starling-shards";
constexpr int kVersion = 1;

fs::path manifest_path(const fs::path& folder) { return folder / "manifest.json"; }

Json to_json(const ShardEntry& entry) {
  Json files = Json::object();
  for (const auto& [extension, file] : entry.files) files[extension] = {{"bytes", file.bytes}, {"sha256", file.sha256}};
  return {{"name", entry.name},
          {"samples", entry.samples},
          {"tokens", entry.tokens},
          {"text_bytes", entry.text_bytes},
          {"files", files}};
}

ShardEntry entry_from_json(const Json& json) {
  ShardEntry entry{json.at("name"), json.at("samples"), json.at("tokens"), json.at("text_bytes"), {}};
  for (const char* extension : kShardExtensions) {
    const Json& file = json.at("files").at(extension);
    entry.files[extension] = {file.at("bytes"), file.at("sha256")};
  }
  return entry;
}

ShardManifest manifest_from_json(Json json) {
  const std::string digest = json.at("manifest_sha256");
  json.erase("manifest_sha256");
  if (sha256_hex(dump_json(json)) != digest) throw DataError("its SHA-256 does not match");
  if (json.at("format") != kFormat || json.at("version") != kVersion)
    throw DataError(fmt::format("format {} version {} is not {} {}", dump_json(json.at("format")),
                                dump_json(json.at("version")), kFormat, kVersion));
  ShardManifest manifest{json.at("vocab_size"), json.at("token_bytes"), json.at("tokenizer_sha256"), {}};
  for (const auto& [split, entries] : json.at("splits").items()) {
    std::vector<ShardEntry>& list = manifest.splits[split];
    for (const Json& entry : entries) list.push_back(entry_from_json(entry));
  }
  return manifest;
}

}  // namespace

void write_manifest(const fs::path& folder, const ShardManifest& manifest) {
  Json splits = Json::object();
  for (const auto& [split, entries] : manifest.splits) {
    splits[split] = Json::array();
    for (const ShardEntry& entry : entries) splits[split].push_back(to_json(entry));
  }
  Json json = {{"format", kFormat},
               {"version", kVersion},
               {"vocab_size", manifest.vocab_size},
               {"token_bytes", manifest.token_bytes},
               {"tokenizer_sha256", manifest.tokenizer_sha256},
               {"splits", splits}};
  json["manifest_sha256"] = sha256_hex(dump_json(json));
  write_file_atomic(manifest_path(folder), dump_json(json, 1) + "\n");
}

ShardManifest read_manifest(const fs::path& folder) {
  const fs::path path = manifest_path(folder);
  if (!fs::exists(path)) throw IoError(path.string() + ": no token shards here; run `starling prepare` first");
  const std::string text = read_file(path);
  try {
    return manifest_from_json(parse_json(text));
  } catch (const std::exception& error) {  // nlohmann's errors and ours: either way the manifest cannot be trusted
    throw DataError(
        fmt::format("{}: damaged manifest ({}); run `starling prepare` again", path.string(), error.what()));
  }
}

}  // namespace starling
