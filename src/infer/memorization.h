// How much of a planted secret a model has kept.
//   exposure = log2 |R| - log2 rank,   rank of the secret's likelihood among all that might have been drawn (R)
// R is estimated by a sample of N alternatives, so exposure lies between 0 and log2(N + 1) bits; a secret that the
// model never saw has 1.44 bits in the mean. A secret is extracted when greedy decoding from its prefix gives it.
// Source: Carlini et al. 2019, arXiv:1802.08232, definitions 1 to 3 and section 4.3 (exposure by sampling).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "infer/engine.h"

namespace starling {

struct PlantedSecret {
  std::string prefix, secret;
  int64_t copies = 0;                     // that training saw; 0: a control
  std::vector<std::string> alternatives;  // drawn as the secret was
};

struct Memorization {
  int64_t secrets = 0, extracted = 0;
  double exposure_bits = 0;          // mean
  double largest_exposure_bits = 0;  // log2(N + 1): the secret was likelier than every alternative
};

// `secret` and `alternatives`: log likelihoods. Equal ones rank before the secret.
double exposure_bits(double secret, std::span<const double> alternatives);

// By the number of copies. `progress(done)` after each secret. Throws DataError for a secret without alternatives.
std::map<int64_t, Memorization> measure_memorization(Engine& engine, std::span<const PlantedSecret> secrets,
                                                     const std::function<void(size_t done)>& progress = {});

}  // namespace starling
