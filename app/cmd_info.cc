#include <fmt/format.h>

#include <algorithm>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "model/config.h"
#include "posts/post_store.h"
#include "posts/shards.h"
#include "store/control_db.h"

namespace starling {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson shards_of(const Workspace& workspace) {
  OrderedJson splits = OrderedJson::object();
  if (!std::filesystem::exists(workspace.shards() / "manifest.json")) return splits;
  for (const char* split : {"train", "valid"}) {
    const ShardReader reader(workspace.shards(), split);
    splits[split] = {
        {"samples", reader.sample_count()}, {"tokens", reader.token_count()}, {"text_bytes", reader.text_bytes()}};
  }
  return splits;
}

OrderedJson models_of(const Workspace& workspace) {
  std::vector<std::filesystem::path> folders;
  if (std::filesystem::is_directory(workspace.models()))
    for (const auto& entry : std::filesystem::directory_iterator(workspace.models()))
      if (std::filesystem::exists(entry.path() / "config.json") && !entry.path().filename().string().starts_with("."))
        folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  OrderedJson models = OrderedJson::array();
  for (const auto& folder : folders) {
    const ModelConfig config = ModelConfig::load(folder / "config.json");
    models.push_back({{"name", folder.filename().string()},
                      {"parameters", config.parameter_count()},
                      {"layers", config.num_layers},
                      {"width", config.hidden_size},
                      {"vocabulary", config.vocab_size}});
  }
  return models;
}

OrderedJson information(const Workspace& workspace) {
  OrderedJson json = {{"version", STARLING_VERSION},
                      {"workspace", std::filesystem::absolute(workspace.root).lexically_normal().string()}};
  json["posts"] = std::filesystem::exists(workspace.posts()) ? PostStore(workspace.posts()).size() : 0;
  json["tombstones"] =
      std::filesystem::exists(workspace.control_db()) ? ControlDb(workspace.control_db()).tombstones().size() : 0;
  json["shards"] = shards_of(workspace);
  json["models"] = models_of(workspace);
  return json;
}

void print(const OrderedJson& info) {
  fmt::print("starling {}\nworkspace  {}\nposts      {}\ndeleted    {}\n", info["version"].get<std::string>(),
             info["workspace"].get<std::string>(), info["posts"].get<uint64_t>(), info["tombstones"].get<uint64_t>());
  for (const auto& [split, s] : info["shards"].items())
    fmt::print("{:<10} {} samples, {} tokens, {} bytes of text\n", split, s["samples"].get<uint64_t>(),
               s["tokens"].get<uint64_t>(), s["text_bytes"].get<uint64_t>());
  for (const OrderedJson& m : info["models"])
    fmt::print("model      {}: {:.1f} M parameters, {} layers, width {}, vocabulary {}\n", m["name"].get<std::string>(),
               static_cast<double>(m["parameters"].get<int64_t>()) / 1e6, m["layers"].get<int64_t>(),
               m["width"].get<int64_t>(), m["vocabulary"].get<int64_t>());
}

}  // namespace

void add_info(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("info", "What a workspace holds: posts, shards, models");
  command.footer("Examples:\n  starling info\n  starling --workspace demo info --json");
  command.callback([&options] {
    const OrderedJson info = information(options.open_workspace());
    options.json ? fmt::print("{}\n", dump_json(info, 2)) : print(info);
  });
}

}  // namespace starling
