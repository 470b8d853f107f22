// A Llama model's weights in the form that inference reads: matrices quantized or bf16, norms and routers in f32.
#pragma once

#include <array>
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

  // The 16 values that the rows take, times a scale a group of 32; nullptr unless they are such. They can be kept in 4
  // bits exactly.
  virtual const std::array<int8_t, 16>* codebook() const { return nullptr; }
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

uint64_t weight_file_bytes(const std::filesystem::path& model_folder);  // of the safetensors and GGUF files

struct FeedForwardWeights {
  QuantizedMatrix gate, up, down;
};

struct LayerWeights {
  std::vector<float> attention_norm, mlp_norm;
  std::vector<float> attention_output_norm, mlp_output_norm;  // Grok-1's; else empty
  std::vector<float> q_bias, k_bias, v_bias;                  // empty without config.qkv_bias
  QuantizedMatrix q, k, v, o;
  std::vector<float> router;                      // [E, C]; empty without experts
  std::vector<FeedForwardWeights> feed_forwards;  // one, or one an expert
};

struct LlamaWeights {
  QuantizedMatrix embedding, head;  // the head is empty when it is tied
  std::vector<float> final_norm;
  std::vector<LayerWeights> layers;

  size_t bytes() const;
};

// The form in memory of every matrix.
enum class WeightForm {
  automatic,  // 8 bits, or 4 where the file has no more and 4 hold it exactly
  f32,        // nothing is rounded, activations neither: to compare with other programs, not for speed
  bf16,
  int8,
  int4,  // rounded to 4 bits; the embedding and the head to 8
};
WeightForm weight_form(const std::string& name);  // "auto", "f32", "bf16", "int8", "int4"; else ConfigError

// Shows progress. Throws DataError that names the tensor that is missing or has the wrong shape, Error when
// stop_requested().
LlamaWeights load_weights(const WeightSource& source, const ModelConfig& config, WeightForm form);

}  // namespace starling
