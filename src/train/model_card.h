// card.md: what a model was trained on, which deletions it obeys, how good it is, what it is for and what not.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "model/config.h"
#include "train/options.h"
#include "train/trainer.h"

namespace starling {

struct DataSummary {
  int64_t samples = 0, masked_samples = 0;  // masked: deleted or opted out after the shards were written
  int64_t tokens = 0, text_bytes = 0;
  int64_t first_time_s = 0, last_time_s = 0;
  std::map<std::string, int64_t> posts_per_language;  // of the post store, when it is there
};

std::string model_card(const TrainResult& result, const ModelConfig& model, const TrainOptions& options,
                       const DataSummary& data);

}  // namespace starling
