#include "train/info_nce.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/matmul.h"

namespace starling {
namespace {

// Adds the direction in which row i of `scores` chooses column i: softmax minus one-hot into `gradient`, both with
// these strides. A pair of i's own group is no choice.
double add_direction(const float* scores, float* gradient, std::span<const uint64_t> groups, size_t row, size_t column,
                     float temperature) {
  const size_t n = groups.size();
  const auto share = 1.0 / (2.0 * static_cast<double>(n));
  std::vector<double> p(n);
  double loss = 0;
  for (size_t i = 0; i < n; ++i) {
    const auto score = [&](size_t j) { return static_cast<double>(scores[i * row + j * column] / temperature); };
    const auto is_choice = [&](size_t j) { return i == j || groups[i] != groups[j]; };
    double largest = -1e30, sum = 0;
    for (size_t j = 0; j < n; ++j)
      if (is_choice(j)) largest = std::max(largest, score(j));
    for (size_t j = 0; j < n; ++j) sum += p[j] = is_choice(j) ? std::exp(score(j) - largest) : 0.0;
    loss += (largest + std::log(sum) - score(i)) * share;
    for (size_t j = 0; j < n; ++j)
      gradient[i * row + j * column] +=
          static_cast<float>((p[j] / sum - (i == j ? 1.0 : 0.0)) * share / static_cast<double>(temperature));
  }
  return loss;
}

}  // namespace

double info_nce(std::span<const float> embeddings, std::span<const uint64_t> groups, float temperature,
                std::span<float> gradients) {
  const auto n = static_cast<int64_t>(groups.size()), C = static_cast<int64_t>(embeddings.size()) / (2 * n);
  const auto matrix = [](const float* data, int64_t rows, int64_t columns) {
    return ConstMatrix{data, DType::f32, rows, columns, columns, 1};
  };
  const ConstMatrix a = matrix(embeddings.data(), n, C), b = matrix(embeddings.data() + n * C, n, C);
  std::vector<float> scores(static_cast<size_t>(n * n)), gradient(scores.size(), 0.0f);
  matmul(Matrix{matrix(scores.data(), n, n)}, a, transposed(b));
  const auto rows = static_cast<size_t>(n);
  const double loss = add_direction(scores.data(), gradient.data(), groups, rows, 1, temperature) +
                      add_direction(scores.data(), gradient.data(), groups, 1, rows, temperature);
  const ConstMatrix g = matrix(gradient.data(), n, n);
  matmul(Matrix{matrix(gradients.data(), n, C)}, g, b);
  matmul(Matrix{matrix(gradients.data() + n * C, n, C)}, transposed(g), a);
  return loss;
}

}  // namespace starling
