// Checkpoints of a run: runs/<name>/checkpoints/step-NNNNNNNN/ is a Hugging Face model folder with the optimizer's
// moments (optimizer.safetensors), the trainer's state (state.json, with the SHA-256 of the other files) and seen.bin.
// `latest` names the newest. A checkpoint is written under a hidden name, synced, renamed, and only then named by
// `latest`: a crash or a full disk at any point leaves the one before. docs/formats/checkpoint.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "model/transformer.h"
#include "train/data_loader.h"
#include "train/lineage.h"
#include "train/optimizer.h"
#include "train/stability.h"

namespace starling {

struct TrainState {
  int64_t step = 0;         // optimizer steps done
  int64_t total_steps = 0;  // of the schedule
  int64_t tokens = 0;       // trained on
  double seconds = 0;       // spent training
  DataCursor cursor;
  int64_t counted_samples = 0;  // whose bigrams the start was made from
  SpikeGuard::State spikes;
  NoiseScale::State noise;
  std::string shards_sha256;  // of shards/manifest.json: a cursor means nothing in other shards
};

// Throws IoError (a full disk keeps the last checkpoint and removes the new one's files).
void save_checkpoint(const std::filesystem::path& checkpoints, const ModelConfig& config, const Parameters& parameters,
                     const Optimizer& optimizer, const TrainState& state, SeenIds& seen,
                     const std::filesystem::path& tokenizer_json, int64_t keep);

// The folder `latest` names; none when there is no checkpoint yet.
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& checkpoints);

// Checks every file's SHA-256 first. Throws DataError naming the damaged file, IoError for a missing one.
TrainState load_checkpoint(const std::filesystem::path& checkpoint, Parameters& parameters, Optimizer& optimizer);

}  // namespace starling
