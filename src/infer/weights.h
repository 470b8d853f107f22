// A Llama model's weights in the form that inference reads: matrices quantized or bf16, norms in f32.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "ops/quantized_matrix.h"

namespace starling {

// One tensor of a file. Rows may be read from several threads at once.
class TensorReader {
 public:
  virtual ~TensorReader() = default;
  virtual std::vector<int64_t> shape() const = 0;  // [rows, cols] or [cols]
  virtual void read_row(int64_t row, std::span<float> out) const = 0;

  // True when the rows are small integers with a scale a group of 32, so that they can be kept in 4 bits exactly.
  virtual bool is_code4() const { return false; }
  virtual void read_code4_row(int64_t, std::span<int8_t>, std::span<float>) const {}
};

// The tensors of a model under Hugging Face's names ("model.layers.0.self_attn.q_proj.weight"), rows of the query and
// key matrices in Hugging Face's order (rotary pairs are (i, i + d/2)).
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual size_t tensor_count() const = 0;
  virtual std::unique_ptr<TensorReader> open(const std::string& name) const = 0;  // throws DataError when missing
};

// model.safetensors, the shards that model.safetensors.index.json names, or model.gguf. Throws IoError when there is
// none.
std::unique_ptr<WeightSource> open_weights(const std::filesystem::path& model_folder, const ModelConfig& config);

struct LayerWeights {
  std::vector<float> attention_norm, mlp_norm;
  QuantizedMatrix q, k, v, o, gate, up, down;
};

struct LlamaWeights {
  QuantizedMatrix embedding, head;  // the head is empty when it is tied
  std::vector<float> final_norm;
  std::vector<LayerWeights> layers;

  size_t bytes() const;
};

// `format` is bf16 or int8; tensors that are code4 in the file stay so with int8. Shows progress. Throws DataError that
// names the tensor that is missing or has the wrong shape.
LlamaWeights load_weights(const WeightSource& source, const ModelConfig& config, WeightFormat format);

}  // namespace starling
