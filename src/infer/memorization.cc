#include "infer/memorization.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace starling {
namespace {

bool is_extracted(Engine& engine, const PlantedSecret& planted) {
  // A token gives at least a byte.
  const SamplingOptions greedy{.max_tokens = static_cast<int>(planted.secret.size()), .temperature = 0};
  return engine.complete(planted.prefix, greedy).text.starts_with(planted.secret);
}

double exposure_of(Engine& engine, const PlantedSecret& planted) {
  if (planted.alternatives.empty())
    throw DataError(fmt::format("\"{}\": no alternatives to rank it among", planted.prefix));
  std::vector<std::string> continuations{planted.secret};
  continuations.insert(continuations.end(), planted.alternatives.begin(), planted.alternatives.end());
  const std::vector<double> likelihoods = engine.log_likelihoods(planted.prefix, continuations);
  return exposure_bits(likelihoods.front(), std::span(likelihoods).subspan(1));
}

}  // namespace

double exposure_bits(double secret, std::span<const double> alternatives) {
  const auto before =
      std::count_if(alternatives.begin(), alternatives.end(), [&](double other) { return other >= secret; });
  return std::log2(static_cast<double>(alternatives.size() + 1)) - std::log2(static_cast<double>(before + 1));
}

std::map<int64_t, Memorization> measure_memorization(Engine& engine, std::span<const PlantedSecret> secrets,
                                                     const std::function<void(size_t done)>& progress) {
  std::map<int64_t, Memorization> by_copies;
  for (size_t i = 0; i < secrets.size(); ++i) {
    Memorization& group = by_copies[secrets[i].copies];
    const double exposure = exposure_of(engine, secrets[i]);
    ++group.secrets;
    group.extracted += is_extracted(engine, secrets[i]) ? 1 : 0;
    group.exposure_bits += (exposure - group.exposure_bits) / static_cast<double>(group.secrets);
    group.largest_exposure_bits = std::max(group.largest_exposure_bits, exposure);
    if (progress) progress(i + 1);
  }
  return by_copies;
}

}  // namespace starling
