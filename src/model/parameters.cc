#include "model/parameters.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "core/threads.h"
#include "ops/elementwise.h"
#include "tensor/device.h"

namespace starling {
namespace {

// Without `all` in f32 only what is read so is: the embedding, norms and biases.
std::vector<Parameter> lay_out(const ModelConfig& config, bool all_f32) {
  std::vector<Parameter> list;
  int64_t offset = 0, value_offset = 0;
  for (ParameterShape& shape : parameter_shapes(config)) {
    int64_t elements = 1;
    for (int64_t extent : shape.shape) elements *= extent;
    const bool f32 = all_f32 || list.empty() || shape.shape.size() == 1;
    list.push_back({std::move(shape.name), std::move(shape.shape), offset, elements, f32 ? value_offset : -1});
    offset += elements;
    value_offset += f32 ? elements : 0;
  }
  return list;
}

int64_t value_elements(const std::vector<Parameter>& list) {
  int64_t elements = 0;
  for (const Parameter& parameter : list) elements += parameter.value_offset < 0 ? 0 : parameter.elements;
  return elements;
}

bool ends_with(const std::string& text, const char* ending) {
  return text.size() >= std::strlen(ending) && text.ends_with(ending);
}

float initial_deviation(const Parameter& parameter, const ModelConfig& config) {
  // A router that begins near even lets every expert learn; Mixtral's has the same deviation.
  for (const char* name : {"embed_tokens.weight", "lm_head.weight", "moe.gate.weight", "moe_block.gate.weight"})
    if (ends_with(parameter.name, name)) return 0.02f;
  const float fan_in = 1.0f / std::sqrt(static_cast<float>(parameter.shape[1]));
  return parameter.writes_to_residual_stream() ? fan_in / std::sqrt(2.0f * static_cast<float>(config.num_layers))
                                               : fan_in;
}

}  // namespace

bool Parameter::writes_to_residual_stream() const {
  for (const char* matrix : {"o_proj.weight", "down_proj.weight", ".w2.weight", ".linear_1.weight"})
    if (ends_with(name, matrix)) return true;
  return false;
}

Parameters::Parameters(const ModelConfig& config, DType compute, Trained trained, Device device)
    : config_(config), list_(lay_out(config, trained == Trained::all || compute == DType::f32)) {
  const int64_t total = config.parameter_count();
  values_ = Buffer(DType::f32, {value_elements(list_)}, device);
  if (trained == Trained::all) gradients_ = Buffer(DType::f32, {total}, device);
  if (compute == DType::bf16) compute_ = Buffer(DType::bf16, {total}, device);
  compute_view_ = compute == DType::bf16 ? compute_.tensor() : values_.tensor();
}

size_t Parameters::index_of(const std::string& name) const {
  for (size_t i = 0; i < list_.size(); ++i)
    if (list_[i].name == name) return i;
  throw ConfigError(fmt::format("the model has no parameter {}", name));
}

Tensor Parameters::part(Tensor flat, const Parameter& p) {
  if (flat.empty()) return {};
  const Tensor slice = flat.rows(p.offset, p.elements);
  return p.is_matrix() ? slice.view({p.shape[0], p.shape[1]}) : slice;
}

Tensor Parameters::value(size_t index) const {
  const Parameter& p = list_[index];
  if (p.value_offset < 0) return {};
  const Tensor slice = values().rows(p.value_offset, p.elements);
  return p.is_matrix() ? slice.view({p.shape[0], p.shape[1]}) : slice;
}

ConstTensor Parameters::weight(size_t index) const {
  return list_[index].value_offset < 0 ? part(compute_view_, list_[index]) : value(index);
}

void Parameters::assign(size_t index, ConstTensor rows, int64_t first_row) {
  const Parameter& p = list_[index];
  const auto set = [&](Tensor whole) {
    const HostDraft draft(whole.rows(first_row, rows.extent(0)));
    convert(draft.tensor(), rows);
    draft.store();
  };
  if (p.value_offset >= 0) set(value(index));
  if (compute_view_.dtype() == DType::bf16) set(part(compute_view_, p));
}

Tensor Parameters::stacked(Tensor flat, size_t first, size_t count) const {
  if (flat.empty()) return {};
  int64_t rows = 0;
  for (size_t i = first; i < first + count; ++i) rows += list_[i].shape[0];
  const bool matrices = list_[first].is_matrix();
  const int64_t columns = matrices ? list_[first].shape[1] : 1;
  const Tensor all = flat.rows(list_[first].offset, rows * columns);
  return matrices ? all.view({rows, columns}) : all;
}

Tensor Parameters::vectors(size_t first, size_t count) const {
  int64_t elements = 0;
  for (size_t i = first; i < first + count; ++i) elements += list_[i].elements;
  return values().rows(list_[first].value_offset, elements);
}

void Parameters::initialize(uint64_t seed) {
  for (size_t index = 0; index < list_.size(); ++index) {
    const HostDraft draft(value(index));
    float* values = draft.tensor().as<float>();
    const bool matrix = list_[index].is_matrix();
    const float deviation = matrix ? initial_deviation(list_[index], config_) : 0.0f;
    const float constant = ends_with(list_[index].name, ".bias") ? 0.0f : 1.0f;
    parallel_for(list_[index].elements, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        values[i] = matrix ? deviation * random_normal(seed, index, static_cast<uint64_t>(i)) : constant;
    });
    draft.store();
  }
  refresh_compute();
}

void Parameters::refresh_compute() {
  if (compute_view_.dtype() != DType::bf16) return;
  if (values().elements() == compute_view_.elements()) return convert(compute_view_, values());
  for (size_t i = 0; i < list_.size(); ++i)
    if (list_[i].value_offset >= 0) convert(part(compute_view_, list_[i]), value(i));
}

void Parameters::zero_gradients() {
  if (!gradients().empty()) set_zero(gradients());
}

ConstTensor Parameters::embedding() const { return value(0); }
ConstTensor Parameters::head() const { return part(compute_view_, list_[head_index()]); }
ConstTensor Parameters::final_norm() const { return value(norm_index()); }
Tensor Parameters::embedding_gradient() const { return gradient(0); }
Tensor Parameters::head_gradient() const { return gradient(head_index()); }
Tensor Parameters::final_norm_gradient() const { return gradient(norm_index()); }

// The order of parameter_shapes(): input norm, q, k, v, their biases, o, its output norm, post norm, the router, of
// every feed-forward gate, up, down, and their output norm.
template <class View, class Vectors, class Matrices>
BlockViews<View> Parameters::block_views(int64_t layer, Vectors&& vectors, Matrices&& matrices) const {
  size_t i = block_first(layer);
  const auto vectors_next = [&](size_t count) { return vectors(std::exchange(i, i + count), count); };
  const auto matrices_next = [&](size_t count) { return matrices(std::exchange(i, i + count), count); };
  BlockViews<View> views;
  views.input_norm = vectors_next(1);
  views.qkv = matrices_next(3);
  if (config_.qkv_bias) views.qkv_bias = vectors_next(3);
  views.attention_out = matrices_next(1);
  if (config_.is_grok1()) views.attention_output_norm = vectors_next(1);
  views.post_norm = vectors_next(1);
  if (config_.num_experts > 0) views.router = matrices_next(1);
  for (int64_t e = 0; e < config_.feed_forwards(); ++e) {
    const View gate_up = matrices_next(2);
    views.feed_forwards.push_back({gate_up, matrices_next(1)});
  }
  if (config_.is_grok1()) views.feed_forward_output_norm = vectors_next(1);
  return views;
}

BlockViews<ConstTensor> Parameters::block(int64_t layer) const {
  return block_views<ConstTensor>(
      layer, [&](size_t first, size_t count) -> ConstTensor { return vectors(first, count); },
      [&](size_t first, size_t count) -> ConstTensor { return stacked(compute_view_, first, count); });
}

BlockViews<Tensor> Parameters::block_gradients(int64_t layer) const {
  const auto gradients_of = [&](size_t first, size_t count) { return stacked(gradients(), first, count); };
  return block_views<Tensor>(layer, gradients_of, gradients_of);
}

}  // namespace starling
