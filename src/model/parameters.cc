#include "model/parameters.h"

#include <cmath>
#include <cstring>

#include "core/random.h"
#include "core/threads.h"
#include "ops/elementwise.h"

namespace starling {
namespace {

std::vector<Parameter> lay_out(const ModelConfig& config) {
  std::vector<Parameter> list;
  int64_t offset = 0;
  for (ParameterShape& shape : parameter_shapes(config)) {
    int64_t elements = 1;
    for (int64_t extent : shape.shape) elements *= extent;
    list.push_back({std::move(shape.name), std::move(shape.shape), offset, elements});
    offset += elements;
  }
  return list;
}

bool ends_with(const std::string& text, const char* ending) {
  return text.size() >= std::strlen(ending) && text.ends_with(ending);
}

float initial_deviation(const Parameter& parameter, const ModelConfig& config) {
  if (ends_with(parameter.name, "embed_tokens.weight") || ends_with(parameter.name, "lm_head.weight")) return 0.02f;
  const float fan_in = 1.0f / std::sqrt(static_cast<float>(parameter.shape[1]));
  const bool writes_residual =
      ends_with(parameter.name, "o_proj.weight") || ends_with(parameter.name, "down_proj.weight");
  return writes_residual ? fan_in / std::sqrt(2.0f * static_cast<float>(config.num_layers)) : fan_in;
}

}  // namespace

Parameters::Parameters(const ModelConfig& config, DType compute) : config_(config), list_(lay_out(config)) {
  const int64_t total = config.parameter_count();
  values_ = Buffer(DType::f32, {total});
  gradients_ = Buffer(DType::f32, {total});
  if (compute == DType::bf16) compute_ = Buffer(DType::bf16, {total});
  compute_view_ = compute == DType::bf16 ? compute_.tensor() : values_.tensor();
}

Tensor Parameters::part(Tensor flat, const Parameter& p) {
  const Tensor slice = flat.rows(p.offset, p.elements);
  if (p.is_matrix()) return {slice.data(), slice.dtype(), {p.shape[0], p.shape[1]}};
  return slice;
}

Tensor Parameters::stacked(Tensor flat, size_t first, size_t count) const {
  int64_t rows = 0;
  for (size_t i = first; i < first + count; ++i) rows += list_[i].shape[0];
  const bool matrices = list_[first].is_matrix();
  const int64_t columns = matrices ? list_[first].shape[1] : 1;
  const Tensor all = flat.rows(list_[first].offset, rows * columns);
  return matrices ? Tensor(all.data(), all.dtype(), {rows, columns}) : all;
}

void Parameters::initialize(uint64_t seed) {
  for (size_t index = 0; index < list_.size(); ++index) {
    float* values = value(index).as<float>();
    const bool matrix = list_[index].is_matrix();
    const float deviation = matrix ? initial_deviation(list_[index], config_) : 0.0f;
    const float constant = ends_with(list_[index].name, ".bias") ? 0.0f : 1.0f;
    parallel_for(list_[index].elements, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        values[i] = matrix ? deviation * random_normal(seed, index, static_cast<uint64_t>(i)) : constant;
    });
  }
  refresh_compute();
}

void Parameters::refresh_compute() {
  if (compute_view_.dtype() == DType::bf16) convert(compute_view_, values());
}

void Parameters::zero_gradients() { std::memset(gradients().data(), 0, static_cast<size_t>(gradients().bytes())); }

ConstTensor Parameters::embedding() const { return value(0); }
ConstTensor Parameters::head() const { return part(compute_view_, list_[head_index()]); }
ConstTensor Parameters::final_norm() const { return value(norm_index()); }
Tensor Parameters::embedding_gradient() const { return gradient(0); }
Tensor Parameters::head_gradient() const { return gradient(head_index()); }
Tensor Parameters::final_norm_gradient() const { return gradient(norm_index()); }

// The order of parameter_shapes(): input norm, q, k, v, their biases, o, post norm, gate, up, down.
template <class View>
BlockViews<View> Parameters::block_views(int64_t layer, Tensor vectors, Tensor matrices) const {
  const size_t i = block_first(layer), after = i + 4 + bias_count();
  const Tensor bias = config_.qkv_bias ? stacked(vectors, i + 4, 3) : Tensor();
  return {part(vectors, list_[i]),        stacked(matrices, i + 1, 3),     bias,
          stacked(matrices, after, 1),    part(vectors, list_[after + 1]), stacked(matrices, after + 2, 2),
          stacked(matrices, after + 4, 1)};
}

BlockViews<ConstTensor> Parameters::block(int64_t layer) const {
  return block_views<ConstTensor>(layer, values(), compute_view_);
}

BlockViews<Tensor> Parameters::block_gradients(int64_t layer) const {
  return block_views<Tensor>(layer, gradients(), gradients());
}

}  // namespace starling
