#include "infer/gguf_names.h"

#include <map>
#include <string>

namespace starling {

namespace {

// "experts.5.w1.weight" of block 3.
GgufName expert_name(const std::string& block, const std::string& name) {
  static const std::map<std::string, std::string> parts = {
      {"w1.weight", "ffn_gate"}, {"w2.weight", "ffn_down"}, {"w3.weight", "ffn_up"}};
  const size_t begin = std::string("experts.").size(), dot = name.find('.', begin);
  if (dot == std::string::npos) return {};
  const std::string expert = name.substr(begin, dot - begin);
  const auto part = parts.find(name.substr(dot + 1));
  if (part == parts.end()) return {};
  return {block + part->second + "_exps.weight", std::stoll(expert), block + part->second + "." + expert + ".weight"};
}

}  // namespace

GgufName gguf_name(const std::string& name) {
  static const std::map<std::string, std::string> outer = {{"model.embed_tokens.weight", "token_embd.weight"},
                                                           {"model.norm.weight", "output_norm.weight"},
                                                           {"lm_head.weight", "output.weight"}};
  static const std::map<std::string, std::string> inner = {{"input_layernorm.weight", "attn_norm.weight"},
                                                           {"post_attention_layernorm.weight", "ffn_norm.weight"},
                                                           {"self_attn.q_proj.weight", "attn_q.weight"},
                                                           {"self_attn.k_proj.weight", "attn_k.weight"},
                                                           {"self_attn.v_proj.weight", "attn_v.weight"},
                                                           {"self_attn.o_proj.weight", "attn_output.weight"},
                                                           {"self_attn.q_proj.bias", "attn_q.bias"},
                                                           {"self_attn.k_proj.bias", "attn_k.bias"},
                                                           {"self_attn.v_proj.bias", "attn_v.bias"},
                                                           {"mlp.gate_proj.weight", "ffn_gate.weight"},
                                                           {"mlp.up_proj.weight", "ffn_up.weight"},
                                                           {"mlp.down_proj.weight", "ffn_down.weight"},
                                                           {"block_sparse_moe.gate.weight", "ffn_gate_inp.weight"}};
  if (const auto found = outer.find(name); found != outer.end()) return {found->second};
  const std::string prefix = "model.layers.";
  const size_t dot = name.find('.', prefix.size());
  if (!name.starts_with(prefix) || dot == std::string::npos) return {};
  const std::string block = "blk." + name.substr(prefix.size(), dot - prefix.size()) + ".", rest = name.substr(dot + 1);
  const std::string moe = "block_sparse_moe.";
  if (rest.starts_with(moe + "experts.")) return expert_name(block, rest.substr(moe.size()));
  const auto found = inner.find(rest);
  return found == inner.end() ? GgufName() : GgufName{block + found->second};
}

bool has_paired_rows(const std::string& name, const ModelConfig& config) {
  return config.type != ModelType::qwen2 && (name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight"));
}

}  // namespace starling
