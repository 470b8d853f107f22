// GGUF of the Llama architecture: the weights stay in the file and are decoded when the model is loaded.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "infer/importers.h"
#include "model/config.h"
#include "model/gguf.h"
#include "tokenizer/tokenizer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

void refuse_unsupported(const GgufFile& gguf) {
  const std::string architecture = gguf.text("general.architecture");
  if (architecture != "llama")
    throw DataError(fmt::format("general.architecture is \"{}\"; only llama is supported", architecture));
  if (gguf.integer("llama.expert_count", 0) != 0) throw DataError("mixtures of experts are not supported");
  const std::string scaling = gguf.text("llama.rope.scaling.type", "none");
  if (scaling != "none") throw DataError(fmt::format("rope scaling \"{}\" is not supported", scaling));
  for (const auto& [name, tensor] : gguf.tensors()) {
    if (name.ends_with(".bias") || name == "rope_freqs.weight")
      throw DataError(fmt::format("tensor {} is not supported", name));
  }
}

ModelConfig gguf_config(const GgufFile& gguf) {
  ModelConfig config;
  config.vocab_size = static_cast<int64_t>(gguf.list<std::string>("tokenizer.ggml.tokens").size());
  config.hidden_size = gguf.integer("llama.embedding_length");
  config.intermediate_size = gguf.integer("llama.feed_forward_length");
  config.num_layers = gguf.integer("llama.block_count");
  config.num_heads = gguf.integer("llama.attention.head_count");
  config.num_kv_heads = gguf.integer("llama.attention.head_count_kv", config.num_heads);
  config.max_positions = gguf.integer("llama.context_length");
  config.rope_theta = static_cast<float>(gguf.number("llama.rope.freq_base", 10000.0));
  config.rms_norm_eps = static_cast<float>(gguf.number("llama.attention.layer_norm_rms_epsilon"));
  config.tied_head = !gguf.tensors().contains("output.weight");
  config.bos_token = gguf.integer("tokenizer.ggml.bos_token_id", 1);
  config.eos_token = gguf.integer("tokenizer.ggml.eos_token_id", 2);
  config.check();
  if (gguf.integer("llama.rope.dimension_count", config.head_size()) != config.head_size()) {
    throw DataError("a rotary embedding of part of a head is not supported");
  }
  return config;
}

void write_tokenizer(const GgufFile& gguf, const fs::path& path) {
  const std::string model = gguf.text("tokenizer.ggml.model");
  if (model != "llama") {
    throw DataError(
        fmt::format("its tokenizer is of the kind \"{}\"; give the model's tokenizer.json with --tokenizer", model));
  }
  const std::vector<double>& scores = gguf.list<double>("tokenizer.ggml.scores");
  const std::vector<int64_t>& types = gguf.list<int64_t>("tokenizer.ggml.token_type");
  make_sentencepiece_bpe(gguf.list<std::string>("tokenizer.ggml.tokens"), {scores.begin(), scores.end()},
                         {types.begin(), types.end()})
      ->save(path);
}

}  // namespace

void import_gguf(const fs::path& file, const fs::path& folder) {
  const GgufFile gguf(file);
  try {
    refuse_unsupported(gguf);
    gguf_config(gguf).save(folder / "config.json");
    if (!fs::exists(folder / "tokenizer.json")) write_tokenizer(gguf, folder / "tokenizer.json");
  } catch (const ConfigError& error) {
    throw DataError(fmt::format("{}: {}", file.string(), error.what()));
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", file.string(), error.what()));
  }
  if (const std::string chat = gguf.text("tokenizer.chat_template", ""); !chat.empty()) {
    const nlohmann::json json = {{"chat_template", chat}};
    write_file_atomic(folder / "tokenizer_config.json",
                      json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
  link_or_copy(file, folder / "model.gguf");
}

}  // namespace starling
