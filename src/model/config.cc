#include "model/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <numbers>
#include <type_traits>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"

namespace starling {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTypes[] = {"llama", "mistral", "qwen2", "mixtral", "grok-1"};
constexpr const char* kArchitectures[] = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM",
                                          "MixtralForCausalLM", "Grok1ModelForCausalLM"};
constexpr const char* kGelu = "gelu_pytorch_tanh";
constexpr const char* kScalings[] = {"default", "linear", "llama3", "yarn"};

template <class Enum, size_t N>
Enum named(const char* const (&names)[N], const std::string& name, const char* field) {
  for (size_t i = 0; i < N; ++i)
    if (name == names[i]) return static_cast<Enum>(i);
  throw ConfigError(
      fmt::format("model config: {} \"{}\" is not supported; {} are", field, name, fmt::join(names, ", ")));
}

// A count or a token. The library's own conversion of a real number is undefined when it does not fit.
int64_t whole(const Json& json, const char* key) {
  constexpr double kMost = int64_t{1} << 31;  // products of two still fit
  const double value = json.at(key).get<double>();
  if (!(std::abs(value) <= kMost) || value != std::floor(value))
    throw ConfigError(fmt::format("model config: {} {} is not a whole number or too large", key, value));
  return static_cast<int64_t>(value);
}

// A key that Hugging Face writes as null is as good as absent.
template <class T>
T value_or(const Json& json, const char* key, T otherwise) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return otherwise;
  if constexpr (std::is_same_v<T, int64_t>) return whole(json, key);
  else return found->get<T>();
}

// What would turn the heads otherwise than rope_frequencies() does.
void refuse_other_rope(const Json& json, const char* where) {
  const auto refuse = [where](const std::string& key) {
    throw ConfigError(fmt::format("model config: {}.{} is not supported", where, key));
  };
  for (const auto& [key, value] : json.items())
    if (value.is_object()) refuse(key);  // a rope for each kind of layer
  if (value_or(json, "partial_rotary_factor", 1.0) != 1) refuse("partial_rotary_factor");
  if (!value_or(json, "truncate", true)) refuse("truncate");
  for (const char* key : {"mscale", "mscale_all_dim"})
    if (value_or(json, key, 0.0) != 0) refuse(key);
}

// `json` is rope_scaling, or rope_parameters as newer files have it; `where` is its name.
RopeScaling read_scaling(const Json& json, const char* where, int64_t max_positions) {
  RopeScaling s;
  if (json.is_null()) return s;
  refuse_other_rope(json, where);
  const char* key = json.contains("rope_type") ? "rope_type" : "type";
  if (!json.contains(key) && !json.contains("factor")) return s;
  s.kind = named<RopeScaling::Kind>(kScalings, json.at(key), fmt::format("{}.rope_type", where).c_str());
  if (s.kind == RopeScaling::Kind::none) return s;
  s.factor = json.at("factor");
  s.low_frequency_factor = value_or(json, "low_freq_factor", s.low_frequency_factor);
  s.high_frequency_factor = value_or(json, "high_freq_factor", s.high_frequency_factor);
  s.beta_fast = value_or(json, "beta_fast", s.beta_fast);
  s.beta_slow = value_or(json, "beta_slow", s.beta_slow);
  s.attention_factor = value_or(json, "attention_factor", s.attention_factor);
  s.original_max_positions = value_or(json, "original_max_position_embeddings", max_positions);
  return s;
}

// transformers 5 keeps all of it in rope_parameters; a file may have both, which must then say the same.
void read_rope(const Json& json, ModelConfig& config) {
  const auto member = [&](const char* name) { return json.contains(name) ? json[name] : Json(); };
  const Json parameters = member("rope_parameters"), scaling = member("rope_scaling");
  config.rope_theta = value_or(json, "rope_theta", config.type == ModelType::mixtral ? 1e6f : 10000.0f);
  config.rope_scaling = read_scaling(scaling, "rope_scaling", config.max_positions);
  if (parameters.is_null()) return;
  const RopeScaling stated = read_scaling(parameters, "rope_parameters", config.max_positions);
  const float theta = value_or(parameters, "rope_theta", config.rope_theta);
  if ((!member("rope_theta").is_null() && theta != config.rope_theta) ||
      (!scaling.is_null() && stated != config.rope_scaling))
    throw ConfigError("model config: rope_parameters and rope_theta or rope_scaling beside it say different things");
  config.rope_theta = theta;
  config.rope_scaling = stated;
}

Json scaling_json(const RopeScaling& s) {
  if (s.kind == RopeScaling::Kind::none) return nullptr;
  Json json = {{"rope_type", kScalings[static_cast<size_t>(s.kind)]}, {"factor", s.factor}};
  if (s.kind == RopeScaling::Kind::llama3)
    json.update({{"low_freq_factor", s.low_frequency_factor}, {"high_freq_factor", s.high_frequency_factor}});
  if (s.kind == RopeScaling::Kind::yarn) {
    json.update({{"beta_fast", s.beta_fast}, {"beta_slow", s.beta_slow}});
    if (s.attention_factor > 0) json["attention_factor"] = s.attention_factor;
  }
  if (s.kind != RopeScaling::Kind::linear) json["original_max_position_embeddings"] = s.original_max_positions;
  return json;
}

// Mistral's and Mixtral's window is on when it is a number; Qwen2's only with use_sliding_window, which then leaves it
// out of some layers: that is not supported.
int64_t read_window(const Json& json, ModelType type) {
  if (type == ModelType::llama || type == ModelType::grok1) return 0;
  if (type == ModelType::qwen2) {
    if (value_or(json, "use_sliding_window", false)) throw ConfigError("use_sliding_window is not supported");
    for (const Json& layer : value_or(json, "layer_types", Json::array()))
      if (layer != "full_attention")
        throw ConfigError(fmt::format("layer_types: {} is not supported", dump_json(layer)));
    return 0;
  }
  return value_or(json, "sliding_window", int64_t{0});
}

void refuse_unknown(const Json& json, ModelType type) {
  for (const char* key : {"attention_bias", "mlp_bias", "quantization_config"})
    if (const auto found = json.find(key); found != json.end() && !found->is_null() && *found != false)
      throw ConfigError(fmt::format("{} is set, which is not supported", key));
  const std::string gate = type == ModelType::grok1 ? kGelu : "silu";
  if (value_or(json, "hidden_act", gate) != gate) throw ConfigError(fmt::format("hidden_act is not {}", gate));
  if (value_or(json, "partial_rotary_factor", 1.0) != 1) throw ConfigError("partial_rotary_factor is not supported");
  if (value_or(json, "router_jitter_noise", 0.0) != 0) throw ConfigError("router_jitter_noise is not supported");
}

const char* experts_key(ModelType type) { return type == ModelType::grok1 ? "num_experts" : "num_local_experts"; }

// Hugging Face's names and, for keys that a mixture leaves out, its values.
void read_experts(const Json& json, ModelConfig& config) {
  const bool mixture = config.type == ModelType::mixtral || config.is_grok1();
  config.num_experts = value_or(json, experts_key(config.type), mixture ? int64_t{8} : int64_t{0});
  if (config.num_experts == 0) return;
  config.experts_per_token = value_or(json, "num_experts_per_tok", int64_t{2});
  config.router_loss = value_or(json, "router_aux_loss_coef", 0.001f);
}

void read_grok1(const Json& json, ModelConfig& config) {
  if (!config.is_grok1()) return;
  config.set_grok1();
  config.attention_cap = value_or(json, "max_attn_value", config.attention_cap);
  config.embedding_scale = value_or(json, "embedding_multiplier_scale", config.embedding_scale);
  config.logit_scale = value_or(json, "output_multiplier_scale", config.logit_scale);
}

// Of a config that was checked.
void refuse_other_attention_scale(const Json& json, const ModelConfig& config) {
  if (!config.is_grok1()) return;
  const double wanted = 1 / std::sqrt(static_cast<double>(config.head_size()));
  if (const double scale = value_or(json, "attn_output_multiplier", wanted); !(std::abs(scale / wanted - 1) <= 1e-6))
    throw ConfigError(fmt::format("attn_output_multiplier {} is not supported, only 1 / sqrt(head size)", scale));
}

void check_grok1(const ModelConfig& c) {
  const auto positive = [](float value) { return value > 0 && std::isfinite(value); };
  if (!c.is_grok1() && (c.attention_cap != 0 || c.embedding_scale != 1 || c.logit_scale != 1))
    throw ConfigError("model config: max_attn_value and the multiplier scales need model_type \"grok-1\"");
  if (!(c.attention_cap == 0 || positive(c.attention_cap)) || !positive(c.embedding_scale) || !positive(c.logit_scale))
    throw ConfigError(
        "model config: max_attn_value, embedding_multiplier_scale and output_multiplier_scale must be positive");
}

void check_experts(const ModelConfig& c) {
  constexpr int64_t kMost = 256;
  if ((c.num_experts > 0) != (c.type == ModelType::mixtral || c.is_grok1()))
    throw ConfigError(
        fmt::format("model config: model_type \"{}\" does not go with {} {}; mixtral and grok-1 have experts, the "
                    "others have none",
                    kTypes[static_cast<size_t>(c.type)], experts_key(c.type), c.num_experts));
  if (c.num_experts == 0 && (c.experts_per_token != 0 || c.router_loss != 0))
    throw ConfigError("model config: num_experts_per_tok and router_aux_loss_coef need num_local_experts");
  if (c.num_experts == 0) return;
  if (c.num_experts < 1 || c.num_experts > kMost)
    throw ConfigError(fmt::format("model config: {} {} is outside 1..{}", experts_key(c.type), c.num_experts, kMost));
  if (c.experts_per_token < 1 || c.experts_per_token > c.num_experts)
    throw ConfigError(fmt::format("model config: num_experts_per_tok {} must be between 1 and num_local_experts {}",
                                  c.experts_per_token, c.num_experts));
  if (!(c.router_loss >= 0 && std::isfinite(c.router_loss)))
    throw ConfigError("model config: router_aux_loss_coef must be a number from 0");
}

// The share of the stretched frequency that yarn gives pair `i` of d/2: 0 for fast pairs, 1 for slow ones, a line
// between.
double yarn_ramp(const ModelConfig& c, int64_t i) {
  const auto d = static_cast<double>(c.head_size());
  const auto pair_of_turns = [&](double turns) {  // the pair that turns so often within the original context
    return d * std::log(static_cast<double>(c.rope_scaling.original_max_positions) / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(static_cast<double>(c.rope_theta)));
  };
  const double low = std::max(std::floor(pair_of_turns(c.rope_scaling.beta_fast)), 0.0);
  double high = std::min(std::ceil(pair_of_turns(c.rope_scaling.beta_slow)), d - 1);
  if (low == high) high += 0.001;
  return std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
}

// The share of the stretched frequency that llama3 gives a wave of so many positions.
double llama3_share(const RopeScaling& s, double wave) {
  const double turns = static_cast<double>(s.original_max_positions) / wave;
  const double kept = (turns - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
  return 1.0 - std::clamp(kept, 0.0, 1.0);
}

}  // namespace

std::vector<double> ModelConfig::rope_frequencies() const {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < head_size() / 2; ++i) {
    const double plain =
        std::pow(static_cast<double>(rope_theta), -2.0 * static_cast<double>(i) / static_cast<double>(head_size()));
    double share = 0;  // of plain / factor
    switch (rope_scaling.kind) {
      case RopeScaling::Kind::none:
        break;
      case RopeScaling::Kind::linear:
        share = 1;
        break;
      case RopeScaling::Kind::llama3:
        share = llama3_share(rope_scaling, 2 * std::numbers::pi / plain);
        break;
      case RopeScaling::Kind::yarn:
        share = yarn_ramp(*this, i);
        break;
    }
    frequencies.push_back(share * plain / rope_scaling.factor + (1 - share) * plain);
  }
  return frequencies;
}

double ModelConfig::rope_magnitude() const {
  if (rope_scaling.kind != RopeScaling::Kind::yarn) return 1.0;
  if (rope_scaling.attention_factor > 0) return rope_scaling.attention_factor;
  return rope_scaling.factor <= 1 ? 1.0 : 0.1 * std::log(rope_scaling.factor) + 1.0;
}

void ModelConfig::set_grok1() {
  type = ModelType::grok1;
  attention_cap = 30;
  embedding_scale = std::sqrt(static_cast<float>(hidden_size));
  logit_scale = 1 / std::sqrt(3.0f);
}

void ModelConfig::check() const {
  const auto positive = [](int64_t value, const char* field) {
    if (value <= 0) throw ConfigError(fmt::format("model config: {} must be positive, not {}", field, value));
  };
  positive(vocab_size, "vocab_size");
  positive(hidden_size, "hidden_size");
  positive(intermediate_size, "intermediate_size");
  constexpr int64_t kMostLayers = 10'000;          // each becomes a dozen names before a file is opened
  if (num_layers < 0 || num_layers > kMostLayers)  // none: an embedding alone (train/contrastive.h)
    throw ConfigError(fmt::format("model config: num_hidden_layers {} is outside 0..{}", num_layers, kMostLayers));
  positive(num_heads, "num_attention_heads");
  positive(num_kv_heads, "num_key_value_heads");
  positive(max_positions, "max_position_embeddings");
  if (head_dim < 0 || head_dim % 2 != 0)
    throw ConfigError(fmt::format("model config: head_dim {} must be even and not negative", head_dim));
  if (head_dim == 0 && (hidden_size % num_heads != 0 || head_size() % 2 != 0))
    throw ConfigError(fmt::format("model config: hidden_size {} must be an even multiple of num_attention_heads {}",
                                  hidden_size, num_heads));
  if (num_heads % num_kv_heads != 0)
    throw ConfigError(fmt::format("model config: num_attention_heads {} must be a multiple of num_key_value_heads {}",
                                  num_heads, num_kv_heads));
  if (sliding_window < 0) throw ConfigError("model config: sliding_window must not be negative");
  check_experts(*this);
  check_grok1(*this);
  if (!(rope_theta > 1)) throw ConfigError(fmt::format("model config: rope_theta {} must be above 1", rope_theta));
  const RopeScaling& s = rope_scaling;
  if (s.kind == RopeScaling::Kind::none) return;
  if (!(s.factor >= 1)) throw ConfigError(fmt::format("model config: rope_scaling.factor {} is below 1", s.factor));
  if (s.kind == RopeScaling::Kind::linear) return;
  positive(s.original_max_positions, "rope_scaling.original_max_position_embeddings");
  if (!(s.low_frequency_factor > 0 && s.high_frequency_factor > s.low_frequency_factor && s.beta_slow > 0 &&
        s.beta_fast > s.beta_slow))
    throw ConfigError(
        "model config: rope_scaling's high_freq_factor and beta_fast must be above their low and slow "
        "counterparts, and those above 0");
}

ModelConfig ModelConfig::load(const std::filesystem::path& path) {
  try {
    const Json json = parse_ordered_json(read_file(path));
    ModelConfig config;
    config.type = named<ModelType>(kTypes, value_or<std::string>(json, "model_type", "llama"), "model_type");
    refuse_unknown(json, config.type);
    config.vocab_size = whole(json, "vocab_size");
    config.hidden_size = whole(json, "hidden_size");
    config.intermediate_size = whole(json, "intermediate_size");
    config.num_layers = whole(json, "num_hidden_layers");
    config.num_heads = whole(json, "num_attention_heads");
    config.num_kv_heads = value_or(json, "num_key_value_heads", config.num_heads);
    config.head_dim = value_or(json, "head_dim", int64_t{0});
    config.max_positions = value_or(json, "max_position_embeddings", int64_t{2048});
    read_rope(json, config);
    config.sliding_window = read_window(json, config.type);
    config.qkv_bias = config.type == ModelType::qwen2;
    read_experts(json, config);
    read_grok1(json, config);
    config.rms_norm_eps = value_or(json, "rms_norm_eps", config.is_grok1() ? 1e-5f : 1e-6f);
    config.tied_head = value_or(json, "tie_word_embeddings", config.is_grok1());
    config.bos_token = value_or(json, "bos_token_id", int64_t{1});
    config.eos_token = value_or(json, "eos_token_id", int64_t{2});
    if (config.bos_token < 0 || config.bos_token >= config.vocab_size)
      throw ConfigError(fmt::format("model config: bos_token_id {} is outside of the vocabulary of {}",
                                    config.bos_token, config.vocab_size));
    if (config.head_dim * config.num_heads == config.hidden_size) config.head_dim = 0;
    config.check();
    refuse_other_attention_scale(json, config);
    return config;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: not a Llama config.json: {}", path.string(), error.what()));
  } catch (const ConfigError& error) {
    throw DataError(fmt::format("{}: {}", path.string(), error.what()));
  }
}

void ModelConfig::save(const std::filesystem::path& path, const char* torch_dtype) const {
  const auto index = static_cast<size_t>(type);
  Json json = {
      {"architectures", {kArchitectures[index]}},
      {"model_type", kTypes[index]},
      {"hidden_act", is_grok1() ? kGelu : "silu"},
      {"vocab_size", vocab_size},
      {"hidden_size", hidden_size},
      {"intermediate_size", intermediate_size},
      {"num_hidden_layers", num_layers},
      {"num_attention_heads", num_heads},
      {"num_key_value_heads", num_kv_heads},
      {"max_position_embeddings", max_positions},
      {"head_dim", head_size()},
      {"rope_theta", rope_theta},
      {"rope_scaling", scaling_json(rope_scaling)},
      {"rms_norm_eps", rms_norm_eps},
      {"tie_word_embeddings", tied_head},
      {"bos_token_id", bos_token},
      {"eos_token_id", eos_token},
      {"torch_dtype", torch_dtype},
  };
  if (type == ModelType::mistral || type == ModelType::mixtral)
    json["sliding_window"] = sliding_window > 0 ? Json(sliding_window) : Json(nullptr);
  if (num_experts > 0)
    json.update({{experts_key(type), num_experts},
                 {"num_experts_per_tok", experts_per_token},
                 {"router_aux_loss_coef", router_loss}});
  if (is_grok1())
    json.update({{"max_attn_value", attention_cap},
                 {"attn_output_multiplier", 1 / std::sqrt(static_cast<double>(head_size()))},
                 {"embedding_multiplier_scale", embedding_scale},
                 {"output_multiplier_scale", logit_scale}});
  write_file_atomic(path, dump_json(json, 2) + "\n");
}

ParameterNames parameter_names(const ModelConfig& c) {
  if (c.is_grok1())
    return {.input_norm = "pre_attn_norm.scale",
            .attention = "attn.",
            .attention_output_norm = "post_attn_norm.scale",
            .post_norm = "pre_moe_norm.scale",
            .router = "moe_block.gate.weight",
            .feed_forward_output_norm = "post_moe_norm.scale",
            .experts = "moe_block.experts.",
            .gate = "linear.weight",
            .up = "linear_v.weight",
            .down = "linear_1.weight",
            .final_norm = "model.norm.scale"};
  const bool experts = c.num_experts > 0;
  return {.input_norm = "input_layernorm.weight",
          .attention = "self_attn.",
          .post_norm = "post_attention_layernorm.weight",
          .router = "block_sparse_moe.gate.weight",
          .experts = experts ? "block_sparse_moe.experts." : "",
          .gate = experts ? "w1.weight" : "gate_proj.weight",
          .up = experts ? "w3.weight" : "up_proj.weight",
          .down = experts ? "w2.weight" : "down_proj.weight",
          .final_norm = "model.norm.weight"};
}

std::string ParameterNames::feed_forward(int64_t expert) const {
  return experts.empty() ? "mlp." : fmt::format("{}{}.", experts, expert);
}

// Gate before up, as they are multiplied together.
static void add_block_shapes(std::vector<ParameterShape>& shapes, const ModelConfig& c, const std::string& block) {
  const ParameterNames names = parameter_names(c);
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    shapes.push_back({block + name, std::move(shape)});
  };
  add(names.input_norm, {c.hidden_size});
  add(names.attention + "q_proj.weight", {c.query_size(), c.hidden_size});
  add(names.attention + "k_proj.weight", {c.kv_size(), c.hidden_size});
  add(names.attention + "v_proj.weight", {c.kv_size(), c.hidden_size});
  if (c.qkv_bias) {
    add(names.attention + "q_proj.bias", {c.query_size()});
    add(names.attention + "k_proj.bias", {c.kv_size()});
    add(names.attention + "v_proj.bias", {c.kv_size()});
  }
  add(names.attention + "o_proj.weight", {c.hidden_size, c.query_size()});
  if (c.is_grok1()) add(names.attention_output_norm, {c.hidden_size});
  add(names.post_norm, {c.hidden_size});
  if (c.num_experts > 0) add(names.router, {c.num_experts, c.hidden_size});
  for (int64_t e = 0; e < c.feed_forwards(); ++e) {
    const std::string start = names.feed_forward(e);
    add(start + names.gate, {c.intermediate_size, c.hidden_size});
    add(start + names.up, {c.intermediate_size, c.hidden_size});
    add(start + names.down, {c.hidden_size, c.intermediate_size});
  }
  if (c.is_grok1()) add(names.feed_forward_output_norm, {c.hidden_size});
}

std::vector<ParameterShape> parameter_shapes(const ModelConfig& c) {
  std::vector<ParameterShape> shapes = {{"model.embed_tokens.weight", {c.vocab_size, c.hidden_size}}};
  for (int64_t layer = 0; layer < c.num_layers; ++layer)
    add_block_shapes(shapes, c, fmt::format("model.layers.{}.", layer));
  shapes.push_back({parameter_names(c).final_norm, {c.hidden_size}});
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

// Of the blocks with so many feed-forwards, and of the head.
static int64_t matrix_parameters(const ModelConfig& c, int64_t feed_forwards) {
  const int64_t width = 2 * c.query_size() + 2 * c.kv_size() + c.num_experts + 3 * feed_forwards * c.intermediate_size;
  return c.num_layers * c.hidden_size * width + c.vocab_size * c.hidden_size;
}

int64_t ModelConfig::matrix_parameter_count() const { return matrix_parameters(*this, feed_forwards()); }

int64_t ModelConfig::active_matrix_parameter_count() const { return matrix_parameters(*this, active_feed_forwards()); }

double ModelConfig::forward_flops_per_token(int64_t context_tokens) const {
  const double products = 2.0 * static_cast<double>(active_matrix_parameter_count());
  // Scores and weighted values: 2 products of head_size a pair; a token sees (T + 1) / 2 positions on average, fewer
  // with a window W: (W (W + 1) / 2 + (T - W) W) / T.
  const double T = static_cast<double>(context_tokens), W = static_cast<double>(sliding_window);
  const double pairs = W > 0 && W < T ? (W * (W + 1) / 2 + (T - W) * W) / T : (T + 1) / 2;
  return products + static_cast<double>(num_layers * query_size()) * 4.0 * pairs;
}

}  // namespace starling
