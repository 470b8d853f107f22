// A Hugging Face folder of the Llama architecture: config.json, tokenizer.json, safetensors in one file or in shards.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "infer/importers.h"
#include "model/config.h"
#include "model/safetensors.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

bool is_set(const Json& config, const char* key) {
  const auto found = config.find(key);
  return found != config.end() && !found->is_null() && *found != false;
}

// What this program's forward pass does not do. Reading such a model anyway would give wrong text without an error.
void refuse_unsupported(const Json& config) {
  const std::string type = config.value("model_type", "");
  if (type != "llama") throw DataError(fmt::format("model_type is \"{}\"; only llama is supported", type));
  for (const char* key : {"rope_scaling", "attention_bias", "mlp_bias", "quantization_config"}) {
    if (is_set(config, key)) throw DataError(fmt::format("{} is set, which is not supported", key));
  }
  if (config.value("hidden_act", "silu") != "silu") throw DataError("hidden_act is not silu");
  if (is_set(config, "head_dim") &&
      config["head_dim"] != config.at("hidden_size").get<int64_t>() / config.at("num_attention_heads").get<int64_t>()) {
    throw DataError("head_dim is not hidden_size / num_attention_heads");
  }
}

// Llama 3 lists several end tokens; the first stands for them, because every special token ends a generation.
void first_of_list(Json& config, const char* key) {
  if (config.contains(key) && config[key].is_array() && !config[key].empty()) config[key] = Json(config[key][0]);
  if (config.contains(key) && config[key].is_null()) config.erase(key);
}

void copy_config(const fs::path& from, const fs::path& to) {
  try {
    Json config = Json::parse(read_file(from));
    refuse_unsupported(config);
    first_of_list(config, "bos_token_id");
    first_of_list(config, "eos_token_id");
    write_file_atomic(to, config.dump(2) + "\n");
  } catch (const Json::exception& error) {
    throw DataError(fmt::format("{}: not a Llama config.json: {}", from.string(), error.what()));
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", from.string(), error.what()));
  }
}

void refuse_biases(const fs::path& file) {
  const SafetensorsFile weights(file);
  for (const auto& [name, info] : weights.tensors()) {
    if (name.ends_with(".bias"))
      throw DataError(fmt::format("{}: tensor {}: biases are not supported", file.string(), name));
  }
}

}  // namespace

void import_huggingface(const fs::path& from, const fs::path& folder) {
  const bool single = !fs::is_directory(from);
  const fs::path source = single ? fs::absolute(from).parent_path() : from;
  copy_config(source / "config.json", folder / "config.json");
  if (!fs::exists(folder / "tokenizer.json")) link_or_copy(source / "tokenizer.json", folder / "tokenizer.json");
  for (const char* name : {"tokenizer_config.json", "model.safetensors.index.json"}) {
    if (fs::exists(source / name) && !(single && std::string_view(name).starts_with("model")))
      link_or_copy(source / name, folder / name);
  }
  if (single) {
    refuse_biases(from);
    return link_or_copy(from, folder / "model.safetensors");
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(source)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("model") || entry.path().extension() != ".safetensors") continue;
    refuse_biases(entry.path());
    link_or_copy(entry.path(), folder / name);
  }
}

}  // namespace starling
