// What fine-tuning leaves: a model folder that every other command reads, with the adapter beside it.
#pragma once

#include <filesystem>
#include <string>

#include "model/transformer.h"
#include "train/finetune.h"
#include "train/lineage.h"

namespace starling {

struct FineTuneLineage {
  std::string base;            // the model's name
  std::filesystem::path data;  // records; empty for the workspace's posts and when an adapter was only merged
  std::string objective;       // "supervised", "preference", "text" or "merge"
  FineTuneResult result;
  std::filesystem::path general;  // the general set's records; empty without one
  double general_share = 0;       // of the places of training
  SeenIds seen;                   // posts that were trained on, besides the base's
  std::filesystem::path adapter;  // that training began from, or that is merged; empty without one
};

// seen.bin at `path`: what the tuning reads, what the base read, and the model that the adapter lies in. None when no
// ids are known.
void save_seen(const std::filesystem::path& base_folder, const FineTuneLineage& lineage,
               const std::filesystem::path& path);

// Writes `target` atomically: config.json, model.safetensors (adapters merged), the base's tokenizer files, seen.bin
// (the ids of the base, of the model that the adapter lies in, and lineage.seen), lineage.json, and adapter/ in PEFT's
// form when the model has adapters. They are merged into the model's parameters.
void save_finetuned(Transformer& model, const std::filesystem::path& base_folder, const std::filesystem::path& target,
                    const FineTuneLineage& lineage);

}  // namespace starling
