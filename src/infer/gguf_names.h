// The words that GGUF has for what Hugging Face names otherwise.
#pragma once

#include <cstdint>
#include <string>

#include "model/config.h"

namespace starling {

// Where a GGUF keeps a tensor. All experts of a block lie in one tensor [E, rows, cols]; files made before that was so
// have a tensor an expert.
struct GgufName {
  std::string tensor;             // empty for a name that GGUF has no word for
  int64_t expert = -1;            // of the tensor; -1: all of it
  std::string expert_on_its_own;  // the older name
};

// "model.layers.3.self_attn.q_proj.weight" -> {"blk.3.attn_q.weight"};
// "model.layers.3.block_sparse_moe.experts.5.w1.weight" -> {"blk.3.ffn_gate_exps.weight", 5,
// "blk.3.ffn_gate.5.weight"}.
GgufName gguf_name(const std::string& huggingface_name);

// A query or key matrix of a llama GGUF has its rotary pairs side by side, (2i, 2i + 1), in each head; Hugging Face
// (and GGUF of the architecture qwen2) has them as (i, i + d/2). Says which row of the pairs' order holds `row` of the
// other.
inline int64_t paired_row(int64_t row, int64_t head_size) {
  const int64_t head = row / head_size, in_head = row % head_size, half = head_size / 2;
  return head * head_size + in_head % half * 2 + in_head / half;
}
bool has_paired_rows(const std::string& huggingface_name, const ModelConfig& config);

}  // namespace starling
