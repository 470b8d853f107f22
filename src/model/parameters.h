// The parameters of a model in flat memory: f32 master values, f32 gradients, and the copy that products read (bf16, or
// the master itself). Names and shapes are those of parameter_shapes(), in that order and without gaps, so that the
// matrices that are multiplied together (query, key, value; an expert's gate, up) are one matrix in memory.
//
// Parameters that are not trained have no gradients, and in bf16 their matrices are kept in bf16 alone: a quarter of
// the memory. Embedding, norms and biases are read in f32 and stay so.
#pragma once

#include <cstdint>
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
  int64_t value_offset = 0;          // in values(); -1: kept in the compute type alone
  bool is_matrix() const { return shape.size() == 2; }
  bool writes_to_residual_stream() const;
};

// One block's views; C, F, D, E as in ModelConfig.
template <class View>
struct FeedForwardViews {
  View gate_up;  // [2F, C]
  View down;     // [C, F]
};
template <class View>
struct BlockViews {
  View input_norm;                                    // [C] f32
  View qkv;                                           // [q + 2 kv, C]
  View qkv_bias;                                      // [q + 2 kv] f32; empty without qkv_bias
  View attention_out;                                 // [C, q]
  View attention_output_norm;                         // [C] f32; of Grok-1, empty elsewhere
  View post_norm;                                     // [C] f32
  View router;                                        // [E, C]; empty without experts
  std::vector<FeedForwardViews<View>> feed_forwards;  // one, or one an expert
  View feed_forward_output_norm;                      // [C] f32; of Grok-1, empty elsewhere
};

enum class Trained { all, none };

class Parameters {
 public:
  Parameters(const ModelConfig& config, DType compute, Trained trained = Trained::all, Device device = Device::cpu);

  const std::vector<Parameter>& list() const { return list_; }
  size_t index_of(const std::string& name) const;           // throws ConfigError for a name that is not there
  Tensor values() const { return values_.tensor(); }        // [all] f32; what is kept in f32 when nothing is trained
  Tensor gradients() const { return gradients_.tensor(); }  // [all] f32; empty when nothing is trained
  Tensor value(size_t index) const;                         // empty when it is kept in the compute type alone
  Tensor gradient(size_t index) const { return part(gradients_.tensor(), list_[index]); }
  ConstTensor weight(size_t index) const;  // the most exact that is kept: f32 or the compute type
  // Sets rows of a parameter (elements of a vector) from f32 or bf16 on the host, the compute copy too.
  void assign(size_t index, ConstTensor rows, int64_t first_row = 0);

  // Matrices normal with deviation 1/sqrt(fan in), those that write to the residual stream divided by sqrt(2 L);
  // embedding and routers with 0.02; norms 1; biases 0. A function of (seed, parameter, index). Source of the scaling:
  // Radford et al. 2019 (GPT-2).
  void initialize(uint64_t seed);
  void refresh_compute();  // after the values changed
  void zero_gradients();

  ConstTensor embedding() const;   // [V, C] f32
  ConstTensor head() const;        // [V, C] in the compute type
  ConstTensor final_norm() const;  // [C] f32
  // Gradients are empty when nothing is trained.
  Tensor embedding_gradient() const;
  Tensor head_gradient() const;  // the embedding's when tied
  Tensor final_norm_gradient() const;
  BlockViews<ConstTensor> block(int64_t layer) const;  // matrices in the compute type
  BlockViews<Tensor> block_gradients(int64_t layer) const;

 private:
  static Tensor part(Tensor flat, const Parameter& parameter);
  size_t norm_index() const { return list_.size() - (config_.tied_head ? 1 : 2); }
  size_t block_first(int64_t layer) const {
    const size_t of_block = (norm_index() - 1) / static_cast<size_t>(config_.num_layers);
    return 1 + static_cast<size_t>(layer) * of_block;
  }
  size_t head_index() const { return config_.tied_head ? 0 : norm_index() + 1; }
  Tensor stacked(Tensor flat, size_t first, size_t count) const;  // matrices with the same columns, as one
  Tensor vectors(size_t first, size_t count) const;               // of values(), as one
  template <class View, class Vectors, class Matrices>
  BlockViews<View> block_views(int64_t layer, Vectors&& vectors, Matrices&& matrices) const;

  ModelConfig config_;
  std::vector<Parameter> list_;
  Buffer values_, gradients_, compute_;  // compute_ is empty when the type is f32
  Tensor compute_view_;
};

}  // namespace starling
