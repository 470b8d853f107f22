// The parameters of a model in flat memory: f32 master values, f32 gradients, and the copy that products read (bf16, or
// the master itself). Names and shapes are those of parameter_shapes(), in that order and without gaps, so that the
// matrices that are multiplied together (query, key, value; gate, up) are one matrix in memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace starling {

struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0, elements = 0;  // in the flat memory
  bool is_matrix() const { return shape.size() == 2; }
};

// One block's views; C, F, D as in ModelConfig.
template <class View>
struct BlockViews {
  View input_norm;     // [C] f32
  View qkv;            // [q + 2 kv, C]
  View qkv_bias;       // [q + 2 kv] f32; empty without qkv_bias
  View attention_out;  // [C, q]
  View post_norm;      // [C] f32
  View gate_up;        // [2F, C]
  View down;           // [C, F]
};

class Parameters {
 public:
  Parameters(const ModelConfig& config, DType compute);

  const std::vector<Parameter>& list() const { return list_; }
  Tensor values() const { return values_.tensor(); }        // [all] f32
  Tensor gradients() const { return gradients_.tensor(); }  // [all] f32
  Tensor value(size_t index) const { return part(values_.tensor(), list_[index]); }
  Tensor gradient(size_t index) const { return part(gradients_.tensor(), list_[index]); }

  // Matrices normal with deviation 1/sqrt(fan in), those that write to the residual stream divided by sqrt(2 L);
  // embedding with 0.02; norms 1; biases 0. A function of (seed, parameter, index). Source of the scaling: Radford et
  // al. 2019 (GPT-2).
  void initialize(uint64_t seed);
  void refresh_compute();  // after the values changed
  void zero_gradients();

  ConstTensor embedding() const;   // [V, C] f32
  ConstTensor head() const;        // [V, C] in the compute type
  ConstTensor final_norm() const;  // [C] f32
  Tensor embedding_gradient() const;
  Tensor head_gradient() const;  // the embedding's when tied
  Tensor final_norm_gradient() const;
  BlockViews<ConstTensor> block(int64_t layer) const;  // matrices in the compute type
  BlockViews<Tensor> block_gradients(int64_t layer) const;

 private:
  static Tensor part(Tensor flat, const Parameter& parameter);
  size_t bias_count() const { return config_.qkv_bias ? 3 : 0; }
  size_t block_first(int64_t layer) const { return 1 + static_cast<size_t>(layer) * (9 + bias_count()); }
  size_t norm_index() const { return block_first(config_.num_layers); }
  size_t head_index() const { return config_.tied_head ? 0 : norm_index() + 1; }
  Tensor stacked(Tensor flat, size_t first, size_t count) const;  // matrices with the same columns, as one
  template <class View>
  BlockViews<View> block_views(int64_t layer, Tensor vectors, Tensor matrices) const;

  ModelConfig config_;
  std::vector<Parameter> list_;
  Buffer values_, gradients_, compute_;  // compute_ is empty when the type is f32
  Tensor compute_view_;
};

}  // namespace starling
