// GGUF of the architectures llama (Mistral, Mixtral and SmolLM too) and qwen2: the weights stay in the file and are
// decoded when the model is loaded.
#include <fmt/format.h>

#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "infer/gguf_tokenizer.h"
#include "infer/importers.h"
#include "model/config.h"
#include "model/gguf.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

void refuse_unsupported(const GgufFile& gguf, const std::string& architecture) {
  if (const int64_t parts = gguf.integer("split.count", 1); parts > 1)
    throw DataError(fmt::format("this is one of {} parts of a model; join them by `llama-gguf-split --merge`", parts));
  if (architecture != "llama" && architecture != "qwen2")
    throw DataError(fmt::format("general.architecture is \"{}\"; only llama and qwen2 are supported", architecture));
  if (architecture != "llama" && gguf.integer(architecture + ".expert_count", 0) != 0)
    throw DataError("mixtures of experts are supported in the architecture llama alone");
  for (const char* key : {"expert_shared_count", "leading_dense_block_count", "expert_feed_forward_length"})
    if (gguf.integer(architecture + "." + key, 0) != 0) throw DataError(fmt::format("{} is not supported", key));
  if (architecture == "qwen2" && gguf.integer("qwen2.attention.sliding_window", 0) != 0)
    throw DataError("qwen2.attention.sliding_window is not supported: it holds for some layers alone");
  for (const auto& [name, tensor] : gguf.tensors()) {
    const bool known = architecture == "qwen2" && (name.ends_with("attn_q.bias") || name.ends_with("attn_k.bias") ||
                                                   name.ends_with("attn_v.bias"));
    if (name.ends_with(".bias") && !known) throw DataError(fmt::format("tensor {} is not supported", name));
  }
}

// Whether the file's factors are those of this stretching, to f32.
bool has_rope_factors(const GgufTensor& factors, const ModelConfig& stretched) {
  ModelConfig plain = stretched;
  plain.rope_scaling = {};
  const std::vector<double> from = plain.rope_frequencies(), to = stretched.rope_frequencies();
  if (factors.shape != std::vector<int64_t>{static_cast<int64_t>(to.size())}) return false;
  std::vector<float> values(to.size());
  decode_gguf_blocks(factors.type, factors.bytes, values);
  for (size_t i = 0; i < to.size(); ++i)
    if (!(std::abs(values[i] * to[i] / from[i] - 1) < 1e-4)) return false;
  return true;
}

// GGUF keeps the result of llama3's stretching, not its parameters: those of the released models are tried.
RopeScaling llama3_scaling(const GgufTensor& factors, ModelConfig config) {
  for (const double factor : {8.0, 32.0, 16.0, 4.0, 2.0}) {
    config.rope_scaling = {.kind = RopeScaling::Kind::llama3, .factor = factor, .original_max_positions = 8192};
    if (has_rope_factors(factors, config)) return config.rope_scaling;
  }
  throw DataError("tensor rope_freqs.weight holds other factors than Llama 3's");
}

RopeScaling read_scaling(const GgufFile& gguf, const std::string& prefix, const ModelConfig& config) {
  const std::string type = gguf.text(prefix + "rope.scaling.type", "none");
  const auto factors = gguf.tensors().find("rope_freqs.weight");
  if (factors != gguf.tensors().end()) return llama3_scaling(factors->second, config);
  if (type == "none") return {};
  if (type != "linear" && type != "yarn") throw DataError(fmt::format("rope scaling \"{}\" is not supported", type));
  for (const auto& [key, usual] :
       {std::pair{"rope.scaling.attn_factor", 1.0}, {"rope.scaling.yarn_log_multiplier", 0.0}})
    if (gguf.number(prefix + key, usual) != usual) throw DataError(fmt::format("{}{} is not supported", prefix, key));
  return {
      .kind = type == "linear" ? RopeScaling::Kind::linear : RopeScaling::Kind::yarn,
      .factor = gguf.number(prefix + "rope.scaling.factor"),
      .original_max_positions = gguf.integer(prefix + "rope.scaling.original_context_length", config.max_positions)};
}

ModelConfig gguf_config(const GgufFile& gguf, const std::string& architecture) {
  const std::string prefix = architecture + ".";
  ModelConfig config;
  if (architecture == "qwen2") config.type = ModelType::qwen2, config.qkv_bias = true;
  config.vocab_size = static_cast<int64_t>(gguf.list<std::string>("tokenizer.ggml.tokens").size());
  config.hidden_size = gguf.integer(prefix + "embedding_length");
  config.intermediate_size = gguf.integer(prefix + "feed_forward_length");
  config.num_layers = gguf.integer(prefix + "block_count");
  config.num_experts = gguf.integer(prefix + "expert_count", 0);
  if (config.num_experts != 0) {
    config.type = ModelType::mixtral;
    config.experts_per_token = gguf.integer(prefix + "expert_used_count");
  }
  config.sliding_window = gguf.integer(prefix + "attention.sliding_window", 0);
  if (config.sliding_window != 0 && config.num_experts == 0) config.type = ModelType::mistral;
  config.num_heads = gguf.integer(prefix + "attention.head_count");
  config.num_kv_heads = gguf.integer(prefix + "attention.head_count_kv", config.num_heads);
  config.head_dim = gguf.integer(prefix + "attention.key_length", 0);
  if (config.head_dim * config.num_heads == config.hidden_size) config.head_dim = 0;
  config.max_positions = gguf.integer(prefix + "context_length");
  config.rope_theta = static_cast<float>(gguf.number(prefix + "rope.freq_base", 10000.0));
  config.rms_norm_eps = static_cast<float>(gguf.number(prefix + "attention.layer_norm_rms_epsilon"));
  config.tied_head = !gguf.tensors().contains("output.weight");
  config.bos_token = gguf_begin_token(gguf);
  config.eos_token = gguf_end_token(gguf);
  config.check();
  config.rope_scaling = read_scaling(gguf, prefix, config);
  config.check();
  if (gguf.integer(prefix + "rope.dimension_count", config.head_size()) != config.head_size()) {
    throw DataError("a rotary embedding of part of a head is not supported");
  }
  return config;
}

}  // namespace

void import_gguf(const fs::path& file, const fs::path& folder) {
  const GgufFile gguf(file);
  try {
    const std::string architecture = gguf.text("general.architecture");
    refuse_unsupported(gguf, architecture);
    const ModelConfig config = gguf_config(gguf, architecture);
    config.save(folder / "config.json");
    if (!fs::exists(folder / "tokenizer.json")) read_gguf_tokenizer(gguf, config)->save(folder / "tokenizer.json");
  } catch (const ConfigError& error) {
    throw DataError(fmt::format("{}: {}", file.string(), error.what()));
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", file.string(), error.what()));
  }
  if (const std::string chat = gguf.text("tokenizer.chat_template", ""); !chat.empty()) {
    const nlohmann::json json = {{"chat_template", chat}};
    write_file_atomic(folder / "tokenizer_config.json", dump_json_lossy(json, 2) + "\n");
  }
  link_or_copy(file, folder / "model.gguf");
}

}  // namespace starling
