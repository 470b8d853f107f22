// The one description of a Llama-style decoder, stored as Hugging Face `config.json` (Llama 2 and 3, SmolLM, Mistral,
// Mixtral, Qwen2 and 2.5, Grok-1). Training, inference and the planner take their shapes, parameter counts, FLOPs and
// bytes from here.
//
// Block l:  h = x + Wo attention(rope(Wq n1), rope(Wk n1), Wv n1),  n1 = rmsnorm(x)
//           y = h + F(n2),  F(n) = Wdown (silu(Wgate n) * Wup n),   n2 = rmsnorm(h)
// With E experts F(n) = sum over the K that the router Wr n chose of w_e F_e(n), see ops/router.h.
// Grok-1 has a mixture whose gates are gelu and whose weights w_e are the router's probabilities; it normalizes what
// attention and F return before it is added, caps attention's scores, and scales token rows and logits.
// Source: Touvron et al. 2023, arXiv:2302.13971; grouped-query attention: Ainslie et al. 2023, arXiv:2305.13245;
// experts: Jiang et al. 2024, arXiv:2401.04088; Grok-1: model.py of github.com/xai-org/grok-1, with the names of the
// config.json and the weights that HPC-AI Tech published (hpcai-tech/grok-1).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace starling {

// How the rotary frequencies of a model are stretched beyond the context it was first made for, as `rope_scaling` of
// config.json says it. Sources: linear: Chen et al. 2023, arXiv:2306.15595; llama3: Llama 3.1's reference code;
// yarn: Peng et al. 2023, arXiv:2309.00071.
struct RopeScaling {
  enum class Kind { none, linear, llama3, yarn };
  Kind kind = Kind::none;
  double factor = 1.0;               // of the context's length
  double low_frequency_factor = 1;   // llama3: waves longer than original / low are stretched by `factor`,
  double high_frequency_factor = 4;  //         those shorter than original / high not at all
  double beta_fast = 32;             // yarn: turns within the original context above which a pair keeps its frequency,
  double beta_slow = 1;              //       and below which it is stretched by `factor`
  double attention_factor = 0;       // yarn: of cos and sin; 0: 0.1 ln(factor) + 1
  int64_t original_max_positions = 0;
  friend bool operator==(const RopeScaling&, const RopeScaling&) = default;
};

// The name under which Hugging Face knows the architecture; what differs is in the fields of ModelConfig.
enum class ModelType { llama, mistral, qwen2, mixtral, grok1 };

struct ModelConfig {
  ModelType type = ModelType::llama;
  int64_t vocab_size = 8192;
  int64_t hidden_size = 384;         // C
  int64_t intermediate_size = 1024;  // F, width of the SwiGLU, of one expert where there are some
  int64_t num_layers = 2;            // L; 0: an embedding alone, which can be embedded with but not trained
  int64_t num_heads = 6;             // H
  int64_t num_kv_heads = 6;          // Hkv, divides H
  int64_t head_dim = 0;              // D; 0: C / H
  int64_t max_positions = 512;       // T the model was made for
  float rope_theta = 10000.0f;
  RopeScaling rope_scaling;
  int64_t sliding_window = 0;  // a place sees itself and this many - 1 before it; 0: all
  bool qkv_bias = false;       // Qwen2: queries, keys and values have a bias
  // Mixtral and Grok-1 alone: the feed-forward of each block is a mixture of experts.
  int64_t num_experts = 0;        // E; 0: one feed-forward for all tokens
  int64_t experts_per_token = 0;  // K
  float router_loss = 0;          // weight of the routers' mean imbalance in nats a token; 0: none
  // Grok-1 alone.
  float attention_cap = 0;    // of attention's scores (ops/attention.h); 0: none
  float embedding_scale = 1;  // of a token's row of the embedding
  float logit_scale = 1;
  float rms_norm_eps = 1e-5f;
  bool tied_head = false;  // the output head is the embedding
  int64_t bos_token = 1;
  int64_t eos_token = 2;

  int64_t head_size() const { return head_dim > 0 ? head_dim : hidden_size / num_heads; }
  int64_t query_size() const { return num_heads * head_size(); }
  int64_t kv_size() const { return num_kv_heads * head_size(); }
  int64_t qkv_size() const { return query_size() + 2 * kv_size(); }
  int64_t feed_forwards() const { return num_experts > 0 ? num_experts : 1; }               // of a block
  int64_t active_feed_forwards() const { return num_experts > 0 ? experts_per_token : 1; }  // that a token passes
  bool is_grok1() const { return type == ModelType::grok1; }
  void set_grok1();  // the type, and what its release has: a cap of 30, the root of the width, 1 / sqrt(3)
  // Radians a position of each of the D/2 pairs, and the factor of cos and sin (1 but for yarn).
  std::vector<double> rope_frequencies() const;
  double rope_magnitude() const;

  void check() const;                                                 // throws ConfigError that names the wrong field
  static ModelConfig load(const std::filesystem::path& config_json);  // throws DataError, IoError
  // `torch_dtype` is what other programs hold the weights in when they load them.
  void save(const std::filesystem::path& config_json, const char* torch_dtype = "float32") const;

  int64_t parameter_count() const;
  int64_t matrix_parameter_count() const;  // those that take part in products (head included, embedding look-up not)
  int64_t active_matrix_parameter_count() const;  // of them, those that one token passes
  // Multiply-adds count as two. Attention counts the lower triangle only.
  double forward_flops_per_token(int64_t context_tokens) const;  // at sequences of this length
  double train_flops_per_token(int64_t context_tokens) const { return 3.0 * forward_flops_per_token(context_tokens); }
};

// Name and shape of every parameter in Hugging Face order and naming ("model.layers.0.self_attn.q_proj.weight").
struct ParameterShape {
  std::string name;
  std::vector<int64_t> shape;  // a linear layer is [out, in]
};
std::vector<ParameterShape> parameter_shapes(const ModelConfig& config);

// The parts of those names that differ: of a block after "model.layers.N.", and the last norm's.
struct ParameterNames {
  std::string input_norm, attention, attention_output_norm;  // attention: the start, "self_attn."
  std::string post_norm, router, feed_forward_output_norm;   // the output norms are Grok-1's
  std::string experts, gate, up, down;                       // experts: the start, "block_sparse_moe.experts."
  std::string final_norm;
  std::string feed_forward(int64_t expert) const;  // the start of one feed-forward's
};
ParameterNames parameter_names(const ModelConfig& config);

}  // namespace starling
