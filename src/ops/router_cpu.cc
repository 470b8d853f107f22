#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "ops/profile.h"
#include "ops/router.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 64, kMostExperts = 256;

void softmax_row(float* p, const float* logits, int64_t E) {
  const float largest = *std::max_element(logits, logits + E);
  float sum = 0;
  for (int64_t e = 0; e < E; ++e) sum += p[e] = std::exp(logits[e] - largest);
  for (int64_t e = 0; e < E; ++e) p[e] /= sum;
}

// By repeated selection: K is 2 or so.
void choose_row(float* w, int32_t* chosen, const float* p, int64_t E, int64_t K, ExpertWeights weights) {
  std::array<bool, kMostExperts> taken{};
  float sum = 0;
  for (int64_t k = 0; k < K; ++k) {
    int64_t best = -1;
    for (int64_t e = 0; e < E; ++e)
      if (!taken[static_cast<size_t>(e)] && (best < 0 || p[e] > p[best])) best = e;
    taken[static_cast<size_t>(best)] = true;
    chosen[k] = static_cast<int32_t>(best);
    sum += w[k] = p[best];
  }
  if (weights == ExpertWeights::probabilities) return;
  for (int64_t k = 0; k < K; ++k) w[k] /= sum;
}

// slope[e] = E f[e], the imbalance's derivative by P[e].
void backward_row(float* dlogits, const float* dw, const float* p, const float* w, const int32_t* chosen, int64_t K,
                  ExpertWeights weights, const std::vector<float>& slope, float weight) {
  const auto E = static_cast<int64_t>(slope.size());
  float mean = 0, chosen_mean = 0;
  for (int64_t e = 0; e < E; ++e) mean += p[e] * slope[static_cast<size_t>(e)];
  for (int64_t k = 0; k < K; ++k) chosen_mean += w[k] * dw[k];
  for (int64_t e = 0; e < E; ++e) dlogits[e] = weight * p[e] * (slope[static_cast<size_t>(e)] - mean);
  if (weights == ExpertWeights::shares) {
    for (int64_t k = 0; k < K; ++k) dlogits[chosen[k]] += w[k] * (dw[k] - chosen_mean);
  } else {
    for (int64_t e = 0; e < E; ++e) dlogits[e] -= p[e] * chosen_mean;
    for (int64_t k = 0; k < K; ++k) dlogits[chosen[k]] += w[k] * dw[k];
  }
}

void check(const ConstTensor& p, const ConstTensor& w, const ConstTensor& chosen) {
  const int64_t N = p.extent(0), E = p.extent(1), K = w.extent(1);
  require_shape(p, DType::f32, {N, E}, "router p");
  require_shape(w, DType::f32, {N, K}, "router w");
  require_shape(chosen, DType::i32, {N, K}, "router chosen");
  if (K < 1 || K > E || E > kMostExperts) throw ShapeError("router: want 1 <= experts a token <= experts <= 256");
}

}  // namespace

void router_forward(Tensor p, Tensor w, Tensor chosen, ConstTensor logits, ExpertWeights weights) {
  check(p, w, chosen);
  require_shape(logits, DType::f32, p.shape(), "router logits");
  const ProfiledOperator timed("router forward", 8.0 * static_cast<double>(p.elements()),
                               static_cast<double>(p.bytes() + logits.bytes()));
  const int64_t E = p.extent(1), K = w.extent(1);
  parallel_for(p.extent(0), kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      softmax_row(p.as<float>() + n * E, logits.as<float>() + n * E, E);
      choose_row(w.as<float>() + n * K, chosen.as<int32_t>() + n * K, p.as<float>() + n * E, E, K, weights);
    }
  });
}

double router_imbalance(ConstTensor p, ConstTensor load) {
  const int64_t N = p.extent(0), E = p.extent(1);
  require_shape(p, DType::f32, {N, E}, "router p");
  require_shape(load, DType::i32, {E}, "router load");
  double total = 0;
  for (int64_t e = 0; e < E; ++e) {
    double mean = 0;
    for (int64_t n = 0; n < N; ++n) mean += static_cast<double>(p.as<float>()[n * E + e]);
    total += static_cast<double>(load.as<int32_t>()[e]) * mean;
  }
  return total * static_cast<double>(E) / (static_cast<double>(N) * static_cast<double>(N));
}

void router_backward(Tensor dlogits, ConstTensor dw, ConstTensor p, ConstTensor w, ConstTensor chosen, ConstTensor load,
                     ExpertWeights weights, float imbalance_weight) {
  check(p, w, chosen);
  const int64_t N = p.extent(0), E = p.extent(1), K = w.extent(1);
  require_shape(dlogits, DType::f32, p.shape(), "router dlogits");
  require_shape(dw, DType::f32, w.shape(), "router dw");
  require_shape(load, DType::i32, {E}, "router load");
  const ProfiledOperator timed("router backward", 8.0 * static_cast<double>(p.elements()),
                               static_cast<double>(p.bytes() + dlogits.bytes()));
  const auto tokens = static_cast<float>(N);
  std::vector<float> slope;
  for (int64_t e = 0; e < E; ++e)
    slope.push_back(static_cast<float>(E) * static_cast<float>(load.as<int32_t>()[e]) / tokens);
  parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      backward_row(dlogits.as<float>() + n * E, dw.as<float>() + n * K, p.as<float>() + n * E, w.as<float>() + n * K,
                   chosen.as<int32_t>() + n * K, K, weights, slope, imbalance_weight / tokens);
  });
}

}  // namespace starling
