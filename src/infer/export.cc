#include "infer/export.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <map>
#include <memory>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/progress.h"
#include "infer/chat_template.h"
#include "infer/gguf_names.h"
#include "infer/gguf_tokenizer.h"
#include "infer/importers.h"
#include "infer/weights.h"
#include "model/config.h"
#include "model/gguf_encode.h"
#include "model/gguf_writer.h"
#include "model/safetensors.h"
#include "tokenizer/tokenizer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

GgufType type_of(const ExportOptions& options) {
  static const std::map<std::string, GgufType> types = {{"f32", GgufType::f32},   {"f16", GgufType::f16},
                                                        {"bf16", GgufType::bf16}, {"q8_0", GgufType::q8_0},
                                                        {"q4_0", GgufType::q4_0}, {"q4_k", GgufType::q4_k}};
  const auto found = types.find(options.type);
  const bool plain = found != types.end() && gguf_block(found->second).values == 1;
  if (found == types.end() || (options.format == "safetensors" && !plain)) {
    throw ConfigError(
        fmt::format("type {} is not written as {}; {}", options.type, options.format,
                    options.format == "gguf" ? "f32, f16, bf16, q8_0, q4_0 and q4_k are" : "f32, f16 and bf16 are"));
  }
  return found->second;
}

const char* torch_name(GgufType type) {
  return type == GgufType::f32 ? "float32" : type == GgufType::f16 ? "float16" : "bfloat16";
}

// Where it names no class, Hugging Face takes Llama's for a Llama: that adds a <s> of its own to other vocabularies.
void write_tokenizer_config(const fs::path& folder, const fs::path& to, const ModelConfig& config) {
  const fs::path given = folder / "tokenizer_config.json";
  auto json = fs::exists(given) ? try_parse_ordered_json(read_file(given)) : nlohmann::ordered_json::object();
  if (!json.is_object() || json.contains("tokenizer_class")) return link_or_copy(given, to / given.filename());
  json["tokenizer_class"] = "PreTrainedTokenizerFast";
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(folder / "tokenizer.json");
  for (const SpecialToken& special : tokenizer->special_tokens()) {
    if (special.id == config.bos_token) json["bos_token"] = special.text;
    if (special.id == config.eos_token) json["eos_token"] = special.text;
  }
  json["clean_up_tokenization_spaces"] = false;  // " ." stays; decoding would take the space
  json["model_max_length"] = config.max_positions;
  write_file_atomic(to / given.filename(), dump_json_lossy(json, 2) + "\n");
}

void write_huggingface(const fs::path& folder, const fs::path& to, const ModelConfig& config, GgufType type) {
  const std::unique_ptr<WeightSource> source = open_weights(folder, config);
  const std::vector<ParameterShape> shapes = parameter_shapes(config);
  std::vector<TensorToWrite> tensors;
  for (const ParameterShape& parameter : shapes) {
    size_t bytes = gguf_block(type).bytes;
    for (const int64_t size : parameter.shape) bytes *= static_cast<size_t>(size);
    tensors.push_back({parameter.name, gguf_block(type).name, parameter.shape, nullptr, bytes});
  }
  fs::create_directories(to);
  Progress progress("Writing tensors", tensors.size(), "tensors");
  const auto append_tensor = [&](size_t i, const AppendBytes& append) {
    const std::vector<int64_t>& shape = shapes[i].shape;
    const std::unique_ptr<TensorReader> reader = source->open(shapes[i].name);
    std::vector<float> values(static_cast<size_t>(shape.back()));
    std::vector<std::byte> bytes(values.size() * gguf_block(type).bytes);
    for (int64_t row = 0; row < (shape.size() > 1 ? shape[0] : 1); ++row) {
      reader->read_row(row, values);
      encode_gguf_blocks(type, values, bytes);
      append(bytes.data(), bytes.size());
    }
    progress.update(i + 1);
  };
  write_safetensors(to / "model.safetensors", tensors, {{"format", "pt"}}, append_tensor);
  config.save(to / "config.json", torch_name(type));
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", kChatTemplateFile}) fs::remove(to / name);
  for (const char* name : {"tokenizer.json", kChatTemplateFile})
    if (fs::exists(folder / name)) link_or_copy(folder / name, to / name);
  write_tokenizer_config(folder, to, config);
}

std::string architecture(const ModelConfig& config) { return config.type == ModelType::qwen2 ? "qwen2" : "llama"; }

void add_rope(std::map<std::string, GgufValue>& metadata, const std::string& prefix, const ModelConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  metadata[prefix + "rope.freq_base"] = static_cast<double>(config.rope_theta);
  metadata[prefix + "rope.dimension_count"] = config.head_size();
  if (scaling.kind == RopeScaling::Kind::none || scaling.kind == RopeScaling::Kind::llama3) return;
  const RopeScaling plain;
  if (scaling.beta_fast != plain.beta_fast || scaling.beta_slow != plain.beta_slow || scaling.attention_factor != 0)
    throw ConfigError(
        "yarn's beta_fast, beta_slow and attention_factor are not written to GGUF; export as safetensors");
  metadata[prefix + "rope.scaling.type"] = std::string(scaling.kind == RopeScaling::Kind::linear ? "linear" : "yarn");
  metadata[prefix + "rope.scaling.factor"] = scaling.factor;
  if (scaling.original_max_positions > 0)
    metadata[prefix + "rope.scaling.original_context_length"] = scaling.original_max_positions;
}

void add_config(std::map<std::string, GgufValue>& metadata, const ModelConfig& config) {
  const std::string prefix = architecture(config) + ".";
  metadata["general.architecture"] = architecture(config);
  metadata[prefix + "embedding_length"] = config.hidden_size;
  metadata[prefix + "feed_forward_length"] = config.intermediate_size;
  metadata[prefix + "block_count"] = config.num_layers;
  if (config.num_experts > 0) {
    metadata[prefix + "expert_count"] = config.num_experts;
    metadata[prefix + "expert_used_count"] = config.experts_per_token;
  }
  metadata[prefix + "context_length"] = config.max_positions;
  metadata[prefix + "vocab_size"] = config.vocab_size;
  metadata[prefix + "attention.head_count"] = config.num_heads;
  metadata[prefix + "attention.head_count_kv"] = config.num_kv_heads;
  metadata[prefix + "attention.layer_norm_rms_epsilon"] = static_cast<double>(config.rms_norm_eps);
  metadata[prefix + "attention.key_length"] = config.head_size();
  metadata[prefix + "attention.value_length"] = config.head_size();
  if (config.sliding_window > 0) metadata[prefix + "attention.sliding_window"] = config.sliding_window;
  add_rope(metadata, prefix, config);
}

void add_chat_template(std::map<std::string, GgufValue>& metadata, const fs::path& folder) {
  if (const fs::path jinja = folder / kChatTemplateFile; fs::exists(jinja)) {
    metadata["tokenizer.chat_template"] = read_file(jinja);
    return;
  }
  const fs::path tokenizer_config = folder / "tokenizer_config.json";
  if (!fs::exists(tokenizer_config)) return;
  const nlohmann::ordered_json json = try_parse_ordered_json(read_file(tokenizer_config));
  if (json.is_object() && json.contains("chat_template") && json["chat_template"].is_string())
    metadata["tokenizer.chat_template"] = json["chat_template"].get<std::string>();
}

// What llama3's stretching divides each frequency by, as other engines expect it.
GgufTensorToWrite rope_factors(const ModelConfig& config) {
  ModelConfig plain = config;
  plain.rope_scaling = {};
  std::vector<float> factors;
  for (size_t i = 0; i < config.rope_frequencies().size(); ++i)
    factors.push_back(static_cast<float>(plain.rope_frequencies()[i] / config.rope_frequencies()[i]));
  const auto size = static_cast<int64_t>(factors.size());
  return {"rope_freqs.weight", GgufType::f32, {size}, [factors](int64_t, std::span<float> out) {
            std::copy(factors.begin(), factors.end(), out.begin());
          }};
}

// A router stays exact: rounded, it would choose other experts. Rows that are not whole blocks of 256 are mostly of 32.
GgufType tensor_type(const ParameterShape& parameter, GgufType wanted) {
  if (parameter.shape.size() == 1 || parameter.name.ends_with("block_sparse_moe.gate.weight")) return GgufType::f32;
  for (const GgufType type : {wanted, GgufType::q8_0})
    if (parameter.shape.back() % gguf_block(type).values == 0) return type;
  return GgufType::f16;
}

// The tensors of a model in GGUF's names and order of rows; an expert's matrix joins those of the experts before it.
class GgufTensors {
 public:
  GgufTensors(const WeightSource& source, const ModelConfig& config, GgufType type)
      : source_(source), config_(config), type_(type) {}

  void add(const ParameterShape& parameter) {
    const GgufName name = gguf_name(parameter.name);
    const std::shared_ptr<const TensorReader> reader = source_.open(parameter.name);
    if (name.expert >= 0) return add_expert(name, parameter, reader);
    const bool paired = has_paired_rows(parameter.name, config_);
    const int64_t half = config_.head_size() / 2, d = config_.head_size();
    tensors.push_back(
        {name.tensor, tensor_type(parameter, type_), parameter.shape, [=](int64_t row, std::span<float> out) {
           // Row 2i + s of a head in the file is row i + s d/2.
           const int64_t in_head = row % d;
           reader->read_row(paired ? row - in_head + in_head % 2 * half + in_head / 2 : row, out);
         }});
  }

  std::vector<GgufTensorToWrite> tensors;

 private:
  using Readers = std::vector<std::shared_ptr<const TensorReader>>;

  void add_expert(const GgufName& name, const ParameterShape& parameter, std::shared_ptr<const TensorReader> reader) {
    std::shared_ptr<Readers>& experts = experts_[name.tensor];
    if (!experts) {
      experts = std::make_shared<Readers>();
      const int64_t rows = parameter.shape[0];
      tensors.push_back({name.tensor,
                         tensor_type(parameter, type_),
                         {config_.num_experts, rows, parameter.shape[1]},
                         [=](int64_t row, std::span<float> out) {
                           (*experts)[static_cast<size_t>(row / rows)]->read_row(row % rows, out);
                         }});
    }
    experts->push_back(std::move(reader));
  }

  const WeightSource& source_;
  const ModelConfig& config_;
  GgufType type_;
  std::map<std::string, std::shared_ptr<Readers>> experts_;
};

void write_gguf_model(const fs::path& folder, const fs::path& to, const ModelConfig& config, GgufType type) {
  if (config.is_grok1()) throw ConfigError("Grok-1 is not written to GGUF; export as safetensors");
  std::map<std::string, GgufValue> metadata;
  metadata["general.name"] = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  add_config(metadata, config);
  add_gguf_tokenizer(metadata, folder / "tokenizer.json", config);
  add_chat_template(metadata, folder);
  const std::unique_ptr<WeightSource> source = open_weights(folder, config);
  GgufTensors made(*source, config, type);
  for (const ParameterShape& parameter : parameter_shapes(config)) made.add(parameter);
  std::vector<GgufTensorToWrite>& tensors = made.tensors;
  if (config.rope_scaling.kind == RopeScaling::Kind::llama3) tensors.push_back(rope_factors(config));
  Progress progress("Writing tensors", tensors.size(), "tensors");
  for (size_t i = 0; i < tensors.size(); ++i)
    tensors[i].read_row = [&progress, i, read = std::move(tensors[i].read_row)](int64_t row, std::span<float> out) {
      read(row, out);
      if (row == 0) progress.update(i + 1);
    };
  if (to.has_parent_path()) fs::create_directories(to.parent_path());
  write_gguf(to, metadata, tensors);
}

}  // namespace

ExportReport export_model(const fs::path& folder, const fs::path& to, const ExportOptions& options) {
  if (options.format != "safetensors" && options.format != "gguf")
    throw ConfigError(fmt::format("format {} is not known; safetensors and gguf are", options.format));
  if (!fs::exists(folder / "config.json"))
    throw IoError(fmt::format("{}: no such model; train one or run `starling import`", folder.string()));
  const GgufType type = type_of(options);
  const bool gguf = options.format == "gguf";
  if (fs::exists(to) && fs::equivalent(folder, to))
    throw ConfigError(fmt::format("{}: the model itself is there; choose another place", to.string()));
  if (fs::exists(gguf ? to : to / "model.safetensors") && !options.replace)
    throw ConfigError(fmt::format("{}: exists already; choose another place or say --replace", to.string()));
  const ModelConfig config = ModelConfig::load(folder / "config.json");
  gguf ? write_gguf_model(folder, to, config, type) : write_huggingface(folder, to, config, type);
  return {config.parameter_count(), fs::file_size(gguf ? to : to / "model.safetensors")};
}

}  // namespace starling
