#include "train/data_audit.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "posts/shards.h"
#include "store/control_db.h"
#include "train/lineage.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

bool has_shards(const Workspace& workspace) { return fs::exists(workspace.shards() / "manifest.json"); }

// What the checkpoint says about the shards of its training: lineage.json of a model, state.json of a checkpoint.
bool was_trained_on(const fs::path& folder, const fs::path& manifest) {
  for (const char* name : {"lineage.json", "state.json"}) {
    if (!fs::exists(folder / name)) continue;
    const auto json = try_parse_json(read_file(folder / name));
    return json.is_object() && json.contains("shards_sha256") && json["shards_sha256"] == sha256_file_hex(manifest);
  }
  return false;
}

void count_train(const ShardReader& shards, const SeenIds& seen,
                 const std::function<void(std::string_view post_id)>& visit, TrainingData& data) {
  data.train_samples = shards.sample_count();
  for (uint64_t i = 0; i < shards.sample_count(); ++i) {
    const Sample sample = shards.sample(i);
    if (!seen.contains("post", sample.post_id)) continue;
    if (data.train_samples_seen++ == 0) data.first_time_s = sample.time_s;
    data.last_time_s = std::max(data.last_time_s, sample.time_s);
    data.tokens_seen += sample.tokens.size();
    if (visit) visit(sample.post_id);
  }
}

}  // namespace

std::vector<SamplePlace> samples_of(const Workspace& workspace, const std::string& kind, const std::string& id) {
  std::vector<SamplePlace> places;
  if (!has_shards(workspace)) return places;
  for (const char* split : {"train", "valid"}) {
    const ShardReader shards(workspace.shards(), split);
    for (uint64_t i = 0; i < shards.sample_count(); ++i) {
      const Sample sample = shards.sample(i);
      if ((kind == "author" ? sample.author : sample.post_id) == id)
        places.push_back({split, shards.shard_of(i), i, sample.tokens.size(), std::string(sample.post_id)});
    }
  }
  return places;
}

TrainingData training_data_of(const Workspace& workspace, const ControlDb& control, const std::string& checkpoint,
                              const std::function<void(std::string_view post_id)>& visit) {
  const fs::path folder = workspace.root / checkpoint;
  if (!fs::exists(folder / "seen.bin"))
    throw IoError(
        fmt::format("{}: no seen.bin; name a folder such as models/own or runs/own/checkpoints/step-00000200 "
                    "that was trained here",
                    folder.string()));
  const SeenIds seen = SeenIds::load(folder / "seen.bin");
  TrainingData data;
  data.seen_ids = seen.size();
  for (const Tombstone& tombstone : control.tombstones())
    if (seen.contains(tombstone.kind, tombstone.id))
      ++(tombstone.kind == "author" ? data.deleted_authors_seen : data.deleted_posts_seen);
  if (!has_shards(workspace)) return data;
  data.same_shards = was_trained_on(folder, workspace.shards() / "manifest.json");
  count_train(ShardReader(workspace.shards(), "train"), seen, visit, data);
  const ShardReader valid(workspace.shards(), "valid");
  for (uint64_t i = 0; i < valid.sample_count(); ++i)
    data.valid_samples_seen += seen.contains("post", valid.sample(i).post_id) ? 1 : 0;
  return data;
}

}  // namespace starling
