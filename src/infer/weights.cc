#include "infer/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "core/error.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/threads.h"
#include "model/gguf_blocks.h"

namespace starling {
namespace {

class Loader {
 public:
  Loader(const WeightSource& source, const ModelConfig& config, WeightForm form)
      : source_(source), form_(form), progress_("Loading weights", count_tensors(config), "tensors") {}

  QuantizedMatrix matrix(const std::string& name, int64_t rows, int64_t cols) {
    const std::unique_ptr<TensorReader> reader = open(name, {rows, cols});
    const bool exact = form_ == WeightForm::automatic && reader->codebook() != nullptr;
    const WeightFormat format = exact ? WeightFormat::code4 : rounded_format(name);
    QuantizedMatrix matrix(format, rows, cols, exact ? *reader->codebook() : kRoundingCodebook);
    parallel_for(matrix.row_blocks(), 8, [&](int64_t begin, int64_t end) {
      std::vector<float> values(cols), scales(matrix.groups());
      std::vector<int8_t> codes(cols);
      for (int64_t row = begin * kRowBlock; row < std::min(end * kRowBlock, rows); ++row) {
        if (exact) {
          reader->read_code4_row(row, codes, scales);
          matrix.set_row(row, codes, scales);
        } else {
          reader->read_row(row, values);
          matrix.set_row(row, values);
        }
      }
    });
    progress_.update(++done_);
    return matrix;
  }

  std::vector<float> vector(const std::string& name, int64_t size) { return plain(name, {size}); }

  // In f32, row after row.
  std::vector<float> plain(const std::string& name, const std::vector<int64_t>& shape) {
    const std::unique_ptr<TensorReader> reader = open(name, shape);
    const auto columns = static_cast<size_t>(shape.back()), rows = shape.size() > 1 ? static_cast<size_t>(shape[0]) : 1;
    std::vector<float> values(rows * columns);
    for (size_t row = 0; row < rows; ++row)
      reader->read_row(static_cast<int64_t>(row), std::span(values).subspan(row * columns, columns));
    progress_.update(++done_);
    return values;
  }

 private:
  static uint64_t count_tensors(const ModelConfig& config) { return parameter_shapes(config).size(); }

  WeightFormat rounded_format(const std::string& name) const {
    if (form_ == WeightForm::f32) return WeightFormat::f32;
    if (form_ == WeightForm::bf16) return WeightFormat::bf16;
    return form_ == WeightForm::int4 && name.starts_with("model.layers.") ? WeightFormat::code4 : WeightFormat::int8;
  }

  std::unique_ptr<TensorReader> open(const std::string& name, const std::vector<int64_t>& shape) const {
    if (stop_requested()) throw Error("stopped while the model was being loaded");
    std::unique_ptr<TensorReader> reader = source_.open(name);
    if (reader->shape() != shape) {
      throw DataError(fmt::format("tensor {} has the shape [{}], config.json asks for [{}]", name,
                                  fmt::join(reader->shape(), ", "), fmt::join(shape, ", ")));
    }
    return reader;
  }

  const WeightSource& source_;
  WeightForm form_;
  Progress progress_;
  uint64_t done_ = 0;
};

LayerWeights load_layer(Loader& loader, const ModelConfig& c, int64_t layer) {
  const ParameterNames names = parameter_names(c);
  const std::string prefix = fmt::format("model.layers.{}.", layer), attention = prefix + names.attention;
  LayerWeights w;
  w.attention_norm = loader.vector(prefix + names.input_norm, c.hidden_size);
  w.q = loader.matrix(attention + "q_proj.weight", c.query_size(), c.hidden_size);
  w.k = loader.matrix(attention + "k_proj.weight", c.kv_size(), c.hidden_size);
  w.v = loader.matrix(attention + "v_proj.weight", c.kv_size(), c.hidden_size);
  w.o = loader.matrix(attention + "o_proj.weight", c.hidden_size, c.query_size());
  if (c.qkv_bias) {
    w.q_bias = loader.vector(attention + "q_proj.bias", c.query_size());
    w.k_bias = loader.vector(attention + "k_proj.bias", c.kv_size());
    w.v_bias = loader.vector(attention + "v_proj.bias", c.kv_size());
  }
  if (c.is_grok1()) w.attention_output_norm = loader.vector(prefix + names.attention_output_norm, c.hidden_size);
  w.mlp_norm = loader.vector(prefix + names.post_norm, c.hidden_size);
  if (c.num_experts > 0) w.router = loader.plain(prefix + names.router, {c.num_experts, c.hidden_size});
  for (int64_t e = 0; e < c.feed_forwards(); ++e) {
    const std::string start = prefix + names.feed_forward(e);
    w.feed_forwards.push_back({loader.matrix(start + names.gate, c.intermediate_size, c.hidden_size),
                               loader.matrix(start + names.up, c.intermediate_size, c.hidden_size),
                               loader.matrix(start + names.down, c.hidden_size, c.intermediate_size)});
  }
  if (c.is_grok1()) w.mlp_output_norm = loader.vector(prefix + names.feed_forward_output_norm, c.hidden_size);
  return w;
}

}  // namespace

size_t LlamaWeights::bytes() const {
  size_t total = embedding.bytes() + head.bytes() + final_norm.size() * sizeof(float);
  for (const LayerWeights& layer : layers) {
    for (const QuantizedMatrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.o}) total += matrix->bytes();
    for (const FeedForwardWeights& part : layer.feed_forwards)
      total += part.gate.bytes() + part.up.bytes() + part.down.bytes();
    for (const std::vector<float>* vector :
         {&layer.attention_norm, &layer.mlp_norm, &layer.attention_output_norm, &layer.mlp_output_norm, &layer.q_bias,
          &layer.k_bias, &layer.v_bias, &layer.router})
      total += vector->size() * sizeof(float);
  }
  return total;
}

WeightForm weight_form(const std::string& name) {
  if (name == "auto") return WeightForm::automatic;
  if (name == "f32") return WeightForm::f32;
  if (name == "bf16") return WeightForm::bf16;
  if (name == "int8") return WeightForm::int8;
  if (name == "int4") return WeightForm::int4;
  throw ConfigError(fmt::format("weights \"{}\" are not known; auto, f32, bf16, int8 and int4 are", name));
}

LlamaWeights load_weights(const WeightSource& source, const ModelConfig& config, WeightForm form) {
  Loader loader(source, config, form);
  LlamaWeights weights;
  weights.embedding = loader.matrix("model.embed_tokens.weight", config.vocab_size, config.hidden_size);
  for (int64_t layer = 0; layer < config.num_layers; ++layer)
    weights.layers.push_back(load_layer(loader, config, layer));
  weights.final_norm = loader.vector(parameter_names(config).final_norm, config.hidden_size);
  if (!config.tied_head) weights.head = loader.matrix("lm_head.weight", config.vocab_size, config.hidden_size);
  return weights;
}

}  // namespace starling
