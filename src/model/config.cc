#include "model/config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"

namespace starling {

void ModelConfig::check() const {
  const auto positive = [](int64_t value, const char* field) {
    if (value <= 0) throw ConfigError(fmt::format("model config: {} must be positive, not {}", field, value));
  };
  positive(vocab_size, "vocab_size");
  positive(hidden_size, "hidden_size");
  positive(intermediate_size, "intermediate_size");
  positive(num_layers, "num_hidden_layers");
  positive(num_heads, "num_attention_heads");
  positive(num_kv_heads, "num_key_value_heads");
  positive(max_positions, "max_position_embeddings");
  if (hidden_size % num_heads != 0 || head_size() % 2 != 0)
    throw ConfigError(fmt::format("model config: hidden_size {} must be an even multiple of num_attention_heads {}",
                                  hidden_size, num_heads));
  if (num_heads % num_kv_heads != 0)
    throw ConfigError(fmt::format("model config: num_attention_heads {} must be a multiple of num_key_value_heads {}",
                                  num_heads, num_kv_heads));
}

ModelConfig ModelConfig::load(const std::filesystem::path& path) {
  try {
    const nlohmann::json json = nlohmann::json::parse(read_file(path));
    ModelConfig config;
    config.vocab_size = json.at("vocab_size");
    config.hidden_size = json.at("hidden_size");
    config.intermediate_size = json.at("intermediate_size");
    config.num_layers = json.at("num_hidden_layers");
    config.num_heads = json.at("num_attention_heads");
    config.num_kv_heads = json.value("num_key_value_heads", config.num_heads);
    config.max_positions = json.value("max_position_embeddings", int64_t{2048});
    config.rope_theta = json.value("rope_theta", 10000.0f);
    config.rms_norm_eps = json.value("rms_norm_eps", 1e-6f);
    config.tied_head = json.value("tie_word_embeddings", false);
    config.bos_token = json.value("bos_token_id", int64_t{1});
    config.eos_token = json.value("eos_token_id", int64_t{2});
    config.check();
    return config;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: not a Llama config.json: {}", path.string(), error.what()));
  } catch (const ConfigError& error) {
    throw DataError(fmt::format("{}: {}", path.string(), error.what()));
  }
}

void ModelConfig::save(const std::filesystem::path& path) const {
  const nlohmann::ordered_json json = {
      {"architectures", {"LlamaForCausalLM"}},
      {"model_type", "llama"},
      {"hidden_act", "silu"},
      {"vocab_size", vocab_size},
      {"hidden_size", hidden_size},
      {"intermediate_size", intermediate_size},
      {"num_hidden_layers", num_layers},
      {"num_attention_heads", num_heads},
      {"num_key_value_heads", num_kv_heads},
      {"max_position_embeddings", max_positions},
      {"rope_theta", rope_theta},
      {"rms_norm_eps", rms_norm_eps},
      {"tie_word_embeddings", tied_head},
      {"bos_token_id", bos_token},
      {"eos_token_id", eos_token},
      {"torch_dtype", "float32"},
  };
  write_file_atomic(path, json.dump(2) + "\n");
}

std::vector<ParameterShape> parameter_shapes(const ModelConfig& c) {
  std::vector<ParameterShape> shapes = {{"model.embed_tokens.weight", {c.vocab_size, c.hidden_size}}};
  for (int64_t layer = 0; layer < c.num_layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    shapes.push_back({prefix + "input_layernorm.weight", {c.hidden_size}});
    shapes.push_back({prefix + "self_attn.q_proj.weight", {c.hidden_size, c.hidden_size}});
    shapes.push_back({prefix + "self_attn.k_proj.weight", {c.kv_size(), c.hidden_size}});
    shapes.push_back({prefix + "self_attn.v_proj.weight", {c.kv_size(), c.hidden_size}});
    shapes.push_back({prefix + "self_attn.o_proj.weight", {c.hidden_size, c.hidden_size}});
    shapes.push_back({prefix + "post_attention_layernorm.weight", {c.hidden_size}});
    shapes.push_back({prefix + "mlp.gate_proj.weight", {c.intermediate_size, c.hidden_size}});
    shapes.push_back({prefix + "mlp.up_proj.weight", {c.intermediate_size, c.hidden_size}});
    shapes.push_back({prefix + "mlp.down_proj.weight", {c.hidden_size, c.intermediate_size}});
  }
  shapes.push_back({"model.norm.weight", {c.hidden_size}});
  if (!c.tied_head) shapes.push_back({"lm_head.weight", {c.vocab_size, c.hidden_size}});
  return shapes;
}

int64_t ModelConfig::parameter_count() const {
  int64_t total = 0;
  for (const ParameterShape& parameter : parameter_shapes(*this)) {
    int64_t elements = 1;
    for (int64_t extent : parameter.shape) elements *= extent;
    total += elements;
  }
  return total;
}

int64_t ModelConfig::matrix_parameter_count() const {
  const int64_t block =
      2 * hidden_size * hidden_size + 2 * hidden_size * kv_size() + 3 * hidden_size * intermediate_size;
  return num_layers * block + vocab_size * hidden_size;
}

double ModelConfig::forward_flops_per_token(int64_t context_tokens) const {
  const double products = 2.0 * static_cast<double>(matrix_parameter_count());
  // Scores and weighted values: 2 products of head_size a pair; a token sees (T + 1) / 2 positions on average.
  const double pairs = static_cast<double>(context_tokens + 1) / 2.0;
  return products + static_cast<double>(num_layers * hidden_size) * 4.0 * pairs;
}

}  // namespace starling
