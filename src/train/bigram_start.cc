#include "train/bigram_start.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/random.h"
#include "core/threads.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "tensor/buffer.h"
#include "tensor/device.h"
#include "train/data_loader.h"

namespace starling {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 24;
constexpr double kDiscount = 0.75, kPriorTokens = 20;
constexpr int kPasses = 2;
constexpr double kSmallest = 1e-7;      // of the largest eigenvalue: what lies below is what f32 rounds
constexpr float kEmbeddingSize = 0.5f;  // root mean square of an embedding's elements
constexpr float kBlockShare = 0.05f;    // of the usual size of what blocks write; exact zeros would stop gradients
constexpr uint64_t kStream = 0x62696772616d73;  // of random numbers: no parameter's

struct Entry {
  TokenId row, column;
  float value;
};

// The entries of a sparse matrix by rows.
struct SparseRows {
  std::vector<int64_t> first;  // of each row, and the end
  std::vector<Entry> entries;

  SparseRows(std::vector<Entry> all, int64_t rows) : first(static_cast<size_t>(rows) + 1), entries(std::move(all)) {
    std::ranges::sort(entries, {}, [](const Entry& e) { return std::pair(e.row, e.column); });
    for (const Entry& e : entries) ++first[e.row + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
  }
};

struct Bigrams {
  std::vector<double> share;   // p
  std::vector<Entry> entries;  // W S W
  int64_t samples = 0;

  double weight(TokenId token) const { return static_cast<double>(share.size()) * share[token]; }
};

using OnRead = std::function<void(const Sample&)>;

std::vector<uint64_t> read_pairs(const SampleSource& samples, uint64_t seed, TokenId begin_token, const OnRead& on_read,
                                 Bigrams& bigrams) {
  std::vector<uint64_t> pairs;
  for (const uint32_t index : epoch_order(samples.count, seed, 0)) {
    if (static_cast<int64_t>(pairs.size()) >= kMostTokens) break;
    const Sample sample = samples.read(index);
    if (samples.is_masked && samples.is_masked(sample)) continue;
    if (on_read) on_read(sample);
    ++bigrams.samples;
    TokenId before = begin_token;
    for (const TokenId token : sample.tokens) {
      pairs.push_back(static_cast<uint64_t>(before) << 32 | token);
      bigrams.share[token] += 1;
      before = token;
    }
  }
  std::ranges::sort(pairs);
  return pairs;
}

Bigrams count_bigrams(const SampleSource& samples, uint64_t seed, TokenId begin_token, const OnRead& on_read,
                      int64_t vocab_size) {
  Bigrams bigrams{std::vector<double>(static_cast<size_t>(vocab_size), 0.5), {}, 0};
  const std::vector<uint64_t> pairs = read_pairs(samples, seed, begin_token, on_read, bigrams);
  const double total = static_cast<double>(pairs.size()) + 0.5 * static_cast<double>(vocab_size);
  for (double& share : bigrams.share) share /= total;
  for (size_t i = 0, next = 0; i < pairs.size(); i = next) {
    while (next < pairs.size() && pairs[next] == pairs[i]) ++next;
    const auto t = static_cast<TokenId>(pairs[i] >> 32), v = static_cast<TokenId>(pairs[i]);
    const double s = std::log1p((static_cast<double>(next - i) - kDiscount) / (kPriorTokens * bigrams.share[v]));
    bigrams.entries.push_back({t, v, static_cast<float>(s * bigrams.weight(t) * bigrams.weight(v))});
  }
  return bigrams;
}

// y = m x
void multiply(const Tensor& y, const SparseRows& m, const ConstTensor& x) {
  const int64_t columns = x.extent(1);
  parallel_for(y.extent(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* to = y.as<float>() + row * columns;
      std::fill_n(to, columns, 0.0f);
      for (int64_t i = m.first[static_cast<size_t>(row)]; i < m.first[static_cast<size_t>(row) + 1]; ++i) {
        const Entry& entry = m.entries[static_cast<size_t>(i)];
        const float* from = x.as<float>() + static_cast<int64_t>(entry.column) * columns;
        for (int64_t j = 0; j < columns; ++j) to[j] += entry.value * from[j];
      }
    }
  });
}

// Eigenvectors of the symmetric g [n,n], as columns, and eigenvalues in rising order.
Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen_of(const Tensor& g) {
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(
      Eigen::Map<const Rows>(g.as<float>(), g.extent(0), g.extent(1)).cast<double>());
}

Buffer gram_of(const Tensor& y) {
  Buffer gram(DType::f32, {y.extent(1), y.extent(1)});
  const ConstMatrix m = as_matrix(ConstTensor(y));
  matmul(as_matrix(gram.tensor()), transposed(m), m);
  return gram;
}

// y = y a
void multiply_right(const Tensor& y, const Eigen::MatrixXd& a) {
  const Eigen::MatrixXf columns = a.cast<float>();
  const Buffer copied(DType::f32, y.shape());
  copy(copied.tensor(), y);
  const ConstTensor turned{columns.data(), DType::f32, {columns.cols(), columns.rows()}};
  matmul(as_matrix(y), as_matrix(ConstTensor(copied.tensor())), transposed(as_matrix(turned)));
}

void normalise_columns(const Tensor& y) {
  const int64_t columns = y.extent(1);
  Eigen::Map<Eigen::Array<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> rows(y.as<float>(), y.extent(0),
                                                                                        columns);
  const Eigen::Array<float, 1, Eigen::Dynamic> lengths = rows.square().colwise().sum().sqrt();
  rows.rowwise() *= (lengths > 0).select(lengths.inverse(), 0);
}

// Makes the columns of y orthonormal, or zero where the others span them; twice for what f32 rounds.
void orthonormalise(const Tensor& y) {
  for (int round = 0; round < 2; ++round) {
    normalise_columns(y);
    const auto eigen = eigen_of(gram_of(y).tensor());
    const Eigen::ArrayXd& values = eigen.eigenvalues().array();
    const Eigen::ArrayXd factors = (values > kSmallest * values.maxCoeff()).select(values.abs().rsqrt(), 0);
    multiply_right(y, eigen.eigenvectors() * factors.matrix().asDiagonal());
  }
}

struct Tables {
  Buffer embedding, head;
};

// E and H [V, rank] of E H^T ~ W S W, in which each direction has the same size.
Tables factors(const Bigrams& bigrams, int64_t rows, int64_t rank, uint64_t seed) {
  std::vector<Entry> turned = bigrams.entries;
  for (Entry& entry : turned) std::swap(entry.row, entry.column);
  const SparseRows m(bigrams.entries, rows), transpose(std::move(turned), rows);
  Tables tables{Buffer(DType::f32, {rows, rank}), Buffer(DType::f32, {rows, rank})};
  const Tensor q = tables.embedding.tensor(), b = tables.head.tensor();
  for (int64_t i = 0; i < b.elements(); ++i) b.as<float>()[i] = random_normal(seed, kStream, static_cast<uint64_t>(i));
  for (int pass = 0; pass < kPasses; ++pass) {
    if (pass > 0) orthonormalise(b);
    multiply(q, m, b);
    orthonormalise(q);
    multiply(b, transpose, q);
  }
  const auto eigen = eigen_of(gram_of(b).tensor());
  const Eigen::ArrayXd& values = eigen.eigenvalues().array();
  const Eigen::ArrayXd roots = (values > kSmallest * values.maxCoeff()).select(values.abs().pow(0.25), 0);
  multiply_right(q, eigen.eigenvectors() * roots.matrix().asDiagonal());
  multiply_right(b, eigen.eigenvectors() * (roots > 0).select(roots.inverse(), 0).matrix().asDiagonal());
  return tables;
}

float norm_of(const float* x, int64_t count) { return std::sqrt(std::inner_product(x, x + count, x, 0.0f)); }

// Twice the length that nineteen of twenty embeddings do not reach, so that k hardly varies.
float common_length(const Tensor& embedding) {
  std::vector<float> lengths;
  for (int64_t row = 0; row < embedding.extent(0); ++row)
    lengths.push_back(norm_of(embedding.as<float>() + row * embedding.extent(1), embedding.extent(1)));
  const auto at = lengths.begin() + static_cast<std::ptrdiff_t>(lengths.size() * 19 / 20);
  std::ranges::nth_element(lengths, at);
  return std::max(2 * *at, 1e-6f);
}

// Mirrors x at the plane between the last axis and the diagonal (1, ..., 1): the one becomes the other.
void reflect(float* x, int64_t n) {
  const float share = 1 / std::sqrt(static_cast<float>(n)), last = share - 1;
  const float square = 2 * (1 - share);  // of the plane's normal (share, ..., share, last)
  const float along = share * std::accumulate(x, x + n - 1, 0.0f) + last * x[n - 1];
  for (int64_t j = 0; j < n - 1; ++j) x[j] -= 2 * along / square * share;
  x[n - 1] -= 2 * along / square * last;
}

// Row of a table, [C]: the factors' row without its weight, room, and the last coordinate.
void copy_row(float* to, int64_t width, const Tensor& factor, int64_t row, double weight) {
  const int64_t rank = factor.extent(1);
  const float* from = factor.as<float>() + row * rank;
  std::transform(from, from + rank, to, [&](float x) { return x / static_cast<float>(weight); });
  std::fill(to + rank, to + width, 0.0f);
}

// The rows of both tables [V, C] as the header has them.
Tables fill_up(const Tables& factors, const Bigrams& bigrams, int64_t C) {
  const Tensor q = factors.embedding.tensor(), b = factors.head.tensor();
  const int64_t V = q.extent(0);
  Tables tables{Buffer(DType::f32, {V, C}), Buffer(DType::f32, {V, C})};
  const Tensor embedding = tables.embedding.tensor(), head = tables.head.tensor();
  for (int64_t row = 0; row < V; ++row) {
    const double weight = bigrams.weight(static_cast<TokenId>(row));
    copy_row(embedding.as<float>() + row * C, C, q, row, weight);
    copy_row(head.as<float>() + row * C, C, b, row, weight);
  }
  const float length = common_length(embedding), root = std::sqrt(static_cast<float>(C));
  for (int64_t row = 0; row < V; ++row) {
    float *e = embedding.as<float>() + row * C, *h = head.as<float>() + row * C;
    const float norm = norm_of(e, C), cut = std::min(1.0f, 0.98f * length / std::max(norm, 1e-30f));
    for (int64_t j = 0; j < C; ++j) e[j] *= cut;
    e[C - 1] = std::sqrt(length * length - cut * cut * norm * norm);
    h[C - 1] = static_cast<float>(std::log(bigrams.weight(static_cast<TokenId>(row)))) / length;
    reflect(e, C), reflect(h, C);
    for (int64_t j = 0; j < C; ++j) e[j] *= kEmbeddingSize * root / length, h[j] *= length / root;
  }
  return tables;
}

}  // namespace

int64_t start_from_bigrams(Parameters& parameters, const ModelConfig& config, const SampleSource& samples,
                           uint64_t seed, TokenId begin_token, const OnRead& on_read) {
  const int64_t V = config.vocab_size, rank = std::min(config.hidden_size, V) - 1;
  const Bigrams bigrams = count_bigrams(samples, seed, begin_token, on_read, V);
  const Tables tables = fill_up(factors(bigrams, V, rank, seed), bigrams, config.hidden_size);
  parameters.assign(parameters.index_of("model.embed_tokens.weight"), tables.embedding.tensor());
  parameters.assign(parameters.index_of("lm_head.weight"), tables.head.tensor());
  for (size_t i = 0; i < parameters.list().size(); ++i)
    if (parameters.list()[i].writes_to_residual_stream()) scale(parameters.value(i), kBlockShare);
  parameters.refresh_compute();
  return bigrams.samples;
}

}  // namespace starling
