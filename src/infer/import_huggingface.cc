// A Hugging Face folder of a Llama, Mistral, Mixtral or Qwen2 model: config.json, tokenizer.json, safetensors in one
// file or in shards.
#include <fmt/format.h>

#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "infer/chat_template.h"
#include "infer/importers.h"
#include "model/config.h"
#include "model/safetensors.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

// Llama 3 lists several end tokens; the first stands for them, because every special token ends a generation.
void first_of_list(nlohmann::json& config, const char* key) {
  if (config.contains(key) && config[key].is_array() && !config[key].empty())
    config[key] = nlohmann::json(config[key][0]);
  if (config.contains(key) && config[key].is_null()) config.erase(key);
}

void copy_config(const fs::path& from, const fs::path& to) {
  try {
    nlohmann::json config = parse_json(read_file(from));
    first_of_list(config, "bos_token_id");
    first_of_list(config, "eos_token_id");
    // Qwen's may name no begin token: then the end token stands between documents.
    if (config.value("model_type", "") == "qwen2" && !config.contains("bos_token_id") &&
        config.contains("eos_token_id"))
      config["bos_token_id"] = nlohmann::json(config["eos_token_id"]);
    write_file_atomic(to, dump_json(config, 2) + "\n");
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: not a Llama config.json: {}", from.string(), error.what()));
  }
}

// A bias that the forward pass does not add would give wrong text without an error.
void refuse_unknown_biases(const fs::path& file, const ModelConfig& config) {
  std::set<std::string> known;
  for (const ParameterShape& parameter : parameter_shapes(config)) known.insert(parameter.name);
  const SafetensorsFile weights(file);
  for (const auto& [name, info] : weights.tensors()) {
    if (name.ends_with(".bias") && !known.contains(name))
      throw DataError(fmt::format("{}: tensor {}: this bias is not supported", file.string(), name));
  }
}

}  // namespace

void import_huggingface(const fs::path& from, const fs::path& folder) {
  const bool single = !fs::is_directory(from);
  const fs::path source = single ? fs::absolute(from).parent_path() : from;
  copy_config(source / "config.json", folder / "config.json");
  const ModelConfig config = ModelConfig::load(folder / "config.json");
  if (!fs::exists(folder / "tokenizer.json")) {
    if (!fs::exists(source / "tokenizer.json"))
      throw DataError(fmt::format("{}: no tokenizer.json here; name one with --tokenizer", source.string()));
    link_or_copy(source / "tokenizer.json", folder / "tokenizer.json");
  }
  for (const char* name : {"tokenizer_config.json", kChatTemplateFile, "model.safetensors.index.json"}) {
    if (fs::exists(source / name) && !(single && std::string_view(name).starts_with("model")))
      link_or_copy(source / name, folder / name);
  }
  if (single) {
    refuse_unknown_biases(from, config);
    return link_or_copy(from, folder / "model.safetensors");
  }
  bool any = false;
  for (const fs::directory_entry& entry : fs::directory_iterator(source)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("model") || entry.path().extension() != ".safetensors") continue;
    refuse_unknown_biases(entry.path(), config);
    link_or_copy(entry.path(), folder / name);
    any = true;
  }
  if (!any)
    throw DataError(fmt::format("{}: no model*.safetensors here; other files of weights (*.bin, *.pth) are not read",
                                source.string()));
}

}  // namespace starling
