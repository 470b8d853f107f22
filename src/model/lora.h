// Low-rank adapters beside frozen matrices:  y = W x + (alpha / r) B A x,   A [r, in], B [out, r].
// B begins at 0, so that an adapter that has not learned changes nothing.
// Source: Hu et al. 2021, arXiv:2106.09685. Files are named and laid out as Hugging Face PEFT does it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/parameters.h"
#include "ops/matmul.h"
#include "tensor/buffer.h"

namespace starling {

struct LoraOptions {
  int64_t rank = 16;
  float alpha = 32;
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
};

// The products of a block that adapters may stand beside; those of one input are one product.
enum class LoraSite { qkv, attention_out, gate_up, down };

class Lora {
 public:
  // Throws ConfigError for a target that is not a linear layer of the blocks, for none and for a rank outside 1..4096.
  Lora(const ModelConfig& config, const LoraOptions& options, DType compute, int64_t max_tokens);

  const LoraOptions& options() const { return options_; }
  Tensor values() const { return values_.tensor(); }        // [all] f32
  Tensor gradients() const { return gradients_.tensor(); }  // [all] f32, accumulated
  void initialize(uint64_t seed);                           // A normal with deviation 1 / sqrt(in), B 0
  void refresh_compute();                                   // after the values changed

  // y [N, out] += (alpha / r) B A x. y in the compute type or f32, x [N, in] in the compute type.
  void forward(int64_t layer, LoraSite site, Tensor y, ConstTensor x);
  // dx [N, in] += its share of the gradient, and gradients of A and B, from dy [N, out]; all in the compute type.
  void backward(int64_t layer, LoraSite site, Tensor dx, ConstTensor dy, ConstTensor x);

  // W = W + (alpha / r) B A for every adapted matrix of `parameters`, rounded once to its type.
  void merge_into(Parameters& parameters) const;

  // adapter_model.safetensors and adapter_config.json in an existing folder. `base` names the model it belongs to.
  void save(const std::filesystem::path& folder, const std::string& base) const;
  // Throws IoError, DataError naming the tensor that is missing, has another shape or is of no adapter here.
  void load(const std::filesystem::path& folder);
  static LoraOptions read_options(const std::filesystem::path& folder);  // throws IoError, DataError

 private:
  struct Part {  // one adapted matrix
    std::string name;
    int64_t first_row = 0, in = 0, out = 0;  // its rows in the site's product
    int64_t a = 0, b = 0;                    // offsets in the flat memory
  };
  using Site = std::vector<Part>;  // the A of its parts lie one behind the other
  const Site& site(int64_t layer, LoraSite which) const {
    return sites_[static_cast<size_t>(layer * 4) + static_cast<size_t>(which)];
  }
  Tensor a_of(Tensor flat, const Site& site) const;                         // [parts * r, in]
  Tensor a_of(Tensor flat, const Part& part) const;                         // [r, in]
  Tensor b_of(Tensor flat, const Part& part) const;                         // [out, r]
  Tensor low_of(const Site& site, ConstTensor x);                           // (alpha / r) A x, [N, parts * r]
  void add_product(Tensor y, int64_t first, ConstMatrix a, ConstMatrix b);  // y[:, first...] += a b
  Site lay_out_site(const ModelConfig& config, int64_t layer, LoraSite which);

  LoraOptions options_;
  float scale_;
  std::vector<Site> sites_;  // [layer * 4 + site]
  int64_t size_ = 0, widest_ = 0, most_low_ = 0;
  Buffer values_, gradients_, compute_;
  Tensor compute_view_;
  Buffer low_f32_, low_, dlow_, wide_;  // N places of parts * r, and of the widest matrix
};

}  // namespace starling
