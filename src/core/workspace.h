// A workspace is a folder; every command works on one, as git works on a repository.
//
//   starling.toml  posts/  shards/  tokenizer.json  models/<name>/  index/  control.db  runs/<name>/
#pragma once

#include <filesystem>
#include <string>

namespace starling {

struct Workspace {
  std::filesystem::path root;

  std::filesystem::path config_file() const { return root / "starling.toml"; }
  std::filesystem::path posts() const { return root / "posts"; }
  std::filesystem::path shards() const { return root / "shards"; }
  std::filesystem::path tokenizer() const { return root / "tokenizer.json"; }
  std::filesystem::path models() const { return root / "models"; }
  std::filesystem::path model(const std::string& name) const { return models() / name; }
  std::filesystem::path index() const { return root / "index"; }
  std::filesystem::path control_db() const { return root / "control.db"; }
  std::filesystem::path runs() const { return root / "runs"; }
  std::filesystem::path run(const std::string& name) const { return runs() / name; }
  // Held by what makes a model of this name: training, tuning, import.
  std::filesystem::path model_lock(const std::string& name) const { return runs() / ("." + name + ".lock"); }

  // The workspace at `folder`. Throws ConfigError, naming `starling init`, when it has no starling.toml.
  static Workspace open(const std::filesystem::path& folder);
  // Makes the folders and a commented starling.toml; keeps what is there. Throws IoError.
  static Workspace create(const std::filesystem::path& folder, const std::string& starling_toml);
};

}  // namespace starling
