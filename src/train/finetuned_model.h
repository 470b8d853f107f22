// What fine-tuning leaves: a model folder that every other command reads, with the adapter beside it.
#pragma once

#include <filesystem>
#include <string>

#include "model/transformer.h"
#include "train/finetune.h"

namespace starling {

struct FineTuneLineage {
  std::string base;            // the model's name
  std::filesystem::path data;  // records; empty when an adapter was only merged
  std::string objective;       // "supervised", "preference" or "merge"
  FineTuneResult result;
};

// Writes `target` atomically: config.json, model.safetensors (adapters merged), the base's tokenizer files and
// seen.bin, lineage.json, and adapter/ in PEFT's form when the model has adapters. They are merged into the model's
// parameters.
void save_finetuned(Transformer& model, const std::filesystem::path& base_folder, const std::filesystem::path& target,
                    const FineTuneLineage& lineage);

}  // namespace starling
