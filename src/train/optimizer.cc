#include "train/optimizer.h"

#include "ops/adamw.h"

namespace starling {

Optimizer::Optimizer(Parameters& parameters, bool muon) : parameters_(parameters) {
  int64_t second = 0;
  for (size_t i = 0; i < parameters.list().size(); ++i) {
    const Parameter& parameter = parameters.list()[i];
    const bool in_block = parameter.is_matrix() && parameter.name.starts_with("model.layers.");
    const bool by_muon = muon && in_block;
    slots_.push_back({i, by_muon ? -1 : second, in_block});
    if (!by_muon) second += parameter.elements;
  }
  const Device device = parameters.values().device();
  first_ = Buffer(DType::f32, {parameters.values().elements()}, device);
  second_ = Buffer(DType::f32, {second}, device);
}

void Optimizer::step(const OptimizerStep& s) {
  std::vector<MuonMatrix> matrices;
  for (const Slot& slot : slots_) {
    const Parameter& parameter = parameters_.list()[slot.parameter];
    const Tensor value = parameters_.value(slot.parameter), gradient = parameters_.gradient(slot.parameter);
    const Tensor first = first_.tensor().rows(parameter.offset, parameter.elements).view(value.shape());
    if (slot.second_offset < 0) {
      matrices.push_back({value, first, gradient});
      continue;
    }
    const Tensor second = second_.tensor().rows(slot.second_offset, parameter.elements).view(value.shape());
    adamw_step(value, first, second, gradient,
               {.learning_rate = slot.in_block ? s.learning_rate : s.embedding_learning_rate,
                .weight_decay = slot.in_block ? s.weight_decay : 0.0f,
                .gradient_scale = s.gradient_scale,
                .step = s.step});
  }
  muon_step(matrices,
            {.learning_rate = s.learning_rate, .weight_decay = s.weight_decay, .gradient_scale = s.gradient_scale});
  parameters_.refresh_compute();
}

}  // namespace starling
