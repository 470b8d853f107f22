#include "train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "model/model_folder.h"
#include "model/safetensors.h"
#include "tensor/device.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHashedFiles[] = {"config.json", "model.safetensors", "tokenizer.json", "optimizer.safetensors",
                                        "seen.bin"};

void save_moments(const Optimizer& optimizer, const fs::path& path) {
  const HostCopy first(optimizer.first_moment()), second(optimizer.second_moment());
  const auto tensor = [](const char* name, const ConstTensor& t) {
    return TensorToWrite{name, "F32", {t.elements()}, t.data(), static_cast<size_t>(t.bytes())};
  };
  const TensorToWrite tensors[] = {tensor("first_moment", first.tensor()), tensor("second_moment", second.tensor())};
  write_safetensors(path, tensors, {});
}

void load_moments(Optimizer& optimizer, const fs::path& path) {
  const SafetensorsFile file(path);
  const auto read = [&](const char* name, const Tensor& to) {
    const auto found = file.tensors().find(name);
    if (found == file.tensors().end() || static_cast<int64_t>(found->second.bytes.size()) != to.bytes())
      throw DataError(fmt::format("{}: {} does not fit this model and train.optimizer", path.string(), name));
    copy(to, {found->second.bytes.data(), DType::f32, to.shape()});
  };
  read("first_moment", optimizer.first_moment());
  read("second_moment", optimizer.second_moment());
}

void save_state(const TrainState& state, const fs::path& folder) {
  nlohmann::ordered_json files;
  for (const char* name : kHashedFiles) files[name] = sha256_file_hex(folder / name);
  nlohmann::ordered_json json = {
      {"format", "starling-checkpoint-1"},
      {"step", state.step},
      {"total_steps", state.total_steps},
      {"tokens", state.tokens},
      {"seconds", state.seconds},
      {"cursor", {{"epoch", state.cursor.epoch}, {"position", state.cursor.position}, {"token", state.cursor.token}}},
      {"counted_samples", state.counted_samples},
      {"spikes",
       {{"losses", state.spikes.losses},
        {"norms", state.spikes.norms},
        {"skipped", state.spikes.skipped},
        {"skipped_in_row", state.spikes.skipped_in_row}}},
      {"noise", {{"signal", state.noise.signal}, {"noise", state.noise.noise}, {"steps", state.noise.steps}}},
      {"shards_sha256", state.shards_sha256},
      {"files", files},
  };
  json["sha256"] = sha256_hex(dump_json(json));  // of the object without this field
  write_file_atomic(folder / "state.json", dump_json(json, 2) + "\n");
}

TrainState read_state(const fs::path& folder) {
  const fs::path path = folder / "state.json";
  const std::string advice =
      fmt::format("delete {} and name an older checkpoint in `latest` beside it, or train anew", folder.string());
  try {
    nlohmann::ordered_json json = parse_ordered_json(read_file(path));
    const std::string digest_of_rest = json.at("sha256");
    json.erase("sha256");
    if (sha256_hex(dump_json(json)) != digest_of_rest)
      throw DataError(fmt::format("{}: damaged (SHA-256 differs); {}", path.string(), advice));
    for (const auto& [name, digest] : json.at("files").items())
      if (sha256_file_hex(folder / name) != digest.get<std::string>())
        throw DataError(fmt::format("{}: its content is not what was saved (SHA-256 differs); {}",
                                    (folder / name).string(), advice));
    const auto& cursor = json.at("cursor");
    TrainState state{.step = json.at("step"),
                     .total_steps = json.at("total_steps"),
                     .tokens = json.at("tokens"),
                     .seconds = json.at("seconds"),
                     .cursor = {cursor.at("epoch"), cursor.at("position"), cursor.at("token")},
                     .counted_samples = json.value("counted_samples", int64_t{0}),
                     .shards_sha256 = json.at("shards_sha256")};
    if (json.contains("spikes")) {  // checkpoints of 0.1.0 have neither
      const auto &spikes = json.at("spikes"), &noise = json.at("noise");
      state.spikes = {spikes.at("losses"), spikes.at("norms"), spikes.at("skipped"), spikes.at("skipped_in_row")};
      state.noise = {noise.at("signal"), noise.at("noise"), noise.at("steps")};
    }
    return state;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: damaged: {}; {}", path.string(), error.what(), advice));
  }
}

std::string folder_name(int64_t step) { return fmt::format("step-{:08}", step); }

// Checkpoints before `newest` beyond `keep`, those of later steps, and what a crash left half written. A later step was
// never named by `latest`, or no longer is: the run went on from an earlier one.
void remove_old(const fs::path& checkpoints, const std::string& newest, int64_t keep) {
  std::vector<fs::path> complete, others;
  for (const auto& entry : fs::directory_iterator(checkpoints)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("step-") && name <= newest) complete.push_back(entry.path());
    else if (name.starts_with("step-") || name.starts_with(".")) others.push_back(entry.path());
  }
  for (const fs::path& other : others) fs::remove_all(other);
  std::sort(complete.begin(), complete.end());
  for (size_t i = 0; i + static_cast<size_t>(keep) < complete.size(); ++i) fs::remove_all(complete[i]);
}

}  // namespace

void save_checkpoint(const fs::path& checkpoints, const ModelConfig& config, const Parameters& parameters,
                     const Optimizer& optimizer, const TrainState& state, SeenIds& seen, const fs::path& tokenizer_json,
                     int64_t keep) {
  const fs::path folder = checkpoints / folder_name(state.step);
  write_folder_atomic(folder, [&](const fs::path& hidden) {
    save_model(config, parameters, hidden);
    write_file_atomic(hidden / "tokenizer.json", read_file(tokenizer_json));
    save_moments(optimizer, hidden / "optimizer.safetensors");
    seen.save(hidden / "seen.bin");
    save_state(state, hidden);
  });
  write_file_atomic(checkpoints / "latest", folder_name(state.step) + "\n");
  remove_old(checkpoints, folder_name(state.step), keep);
}

std::optional<fs::path> latest_checkpoint(const fs::path& checkpoints) {
  if (!fs::exists(checkpoints / "latest")) return std::nullopt;
  std::string name = read_file(checkpoints / "latest");
  while (!name.empty() && name.back() == '\n') name.pop_back();
  if (!name.starts_with("step-") || name.find('/') != std::string::npos)
    throw DataError(fmt::format("{}: names no checkpoint; write one of the step- folders beside it into it",
                                (checkpoints / "latest").string()));
  return checkpoints / name;
}

TrainState load_checkpoint(const fs::path& checkpoint, Parameters& parameters, Optimizer& optimizer) {
  const TrainState state = read_state(checkpoint);
  load_parameters(parameters, checkpoint / "model.safetensors");
  load_moments(optimizer, checkpoint / "optimizer.safetensors");
  return state;
}

}  // namespace starling
