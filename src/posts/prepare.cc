#include "posts/prepare.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/random.h"
#include "core/stop.h"
#include "core/threads.h"
#include "posts/canary.h"
#include "posts/clean_posts.h"
#include "posts/ingest.h"
#include "posts/ordered_pipeline.h"
#include "posts/part_files.h"
#include "posts/purge.h"
#include "posts/row_progress.h"
#include "posts/shards.h"
#include "store/control_db.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/tokenizer.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

constexpr size_t kTokenizeBatch = 2048;
constexpr uint64_t kCanarySeed = 0x706c616365;  // "place"

fs::path unfinished_folder(const Workspace& workspace) { return workspace.shards().string() + ".tmp"; }
fs::path lock_file(const Workspace& workspace) { return workspace.root / "prepare.lock"; }
// Where the old shards are for a moment on file systems that cannot swap two folders.
fs::path replaced_folder(const Workspace& workspace) { return workspace.shards().string() + ".old"; }

// Null when another process is at work there.
std::unique_ptr<FileLock> lock_if_free(const fs::path& path) {
  try {
    return std::make_unique<FileLock>(path, "take deleted posts out of what `prepare` left");
  } catch (const IoError&) {
    return nullptr;
  }
}

// rename(2) with RENAME_EXCHANGE: at no moment is there no `target`. File systems without it get two renames.
void swap_in(const Workspace& workspace) {
  const fs::path fresh = unfinished_folder(workspace), target = workspace.shards();
  fs::create_directories(target);
  if (::syscall(SYS_renameat2, AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), 1u << 1) != 0) {
    const fs::path old = replaced_folder(workspace);
    fs::remove_all(old);
    fs::rename(target, old);
    fs::rename(fresh, target);
    fs::remove_all(old);
  }
  fs::remove_all(fresh);
  sync_path(target.parent_path());
}

// Where validation begins in posts sorted by time. Posts of one second stay together, unless nothing would be left for
// training.
size_t split_point(std::span<const CleanedPost> posts, double fraction) {
  const auto valid = static_cast<size_t>(static_cast<double>(posts.size()) * std::clamp(fraction, 0.0, 0.5) + 0.5);
  const size_t point = posts.size() - valid;
  size_t moved = point;
  while (moved > 0 && moved < posts.size() && posts[moved - 1].time_s == posts[moved].time_s) --moved;
  return moved > posts.size() / 2 ? moved : point;
}

// A canary's place in the training split: before the post of that index, with its time.
struct PlantedCanary {
  size_t before;
  int64_t index, copy;
  auto operator<=>(const PlantedCanary&) const = default;
};

int64_t canary_count(const Config& config) {
  const int64_t count = config.integer("prepare.canaries");
  if (count < 0 || count > kMaxCanaries)
    throw ConfigError(fmt::format("prepare.canaries must be 0 to {}, not {}", kMaxCanaries, count));
  return count;
}

std::vector<PlantedCanary> plan_canaries(int64_t count, size_t train_posts) {
  std::vector<PlantedCanary> plan;
  for (int64_t index = 0; index < count && train_posts > 0; ++index)
    for (int64_t copy = 0, copies = canary(index).copies; copy < copies; ++copy)
      plan.push_back({random_u64(kCanarySeed, static_cast<uint64_t>(index), static_cast<uint64_t>(copy)) % train_posts,
                      index, copy});
  std::sort(plan.begin(), plan.end());
  return plan;
}

class Preparation {
 public:
  Preparation(const Workspace& workspace, const Config& config, const ControlDb& control,
              const PrepareProgress& progress)
      : workspace_(workspace),
        config_(config),
        control_(control),
        progress_(progress),
        folder_(unfinished_folder(workspace)),
        max_tokens_(std::max<size_t>(config.count("prepare.max_tokens"), 2)),
        canaries_(canary_count(config)) {
    if (!fs::exists(workspace.tokenizer())) check_vocab_size(config.integer("tokenizer.vocab_size"));
  }

  // From the post store, or, when there are any, from parts.
  PrepareReport run(uint32_t parts) {
    const FileLock lock(lock_file(workspace_), "prepare");
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    const CleanedPosts cleaned =
        clean_posts(workspace_, config_, control_, folder_ / "texts", parts, progress_, report_);
    if (cleaned.posts.empty())
      throw DataError(fmt::format("{}: none of {} posts is left to train on; ingest posts or relax `prepare.*`",
                                  workspace_.posts().string(), report_.posts));
    const size_t split = split_point(cleaned.posts, config_.number("prepare.validation_fraction"));
    const auto tokenizer = tokenizer_for(cleaned, split);
    write_shards(cleaned, split, *tokenizer);
    fs::remove(folder_ / "texts");
    write_file_atomic(folder_ / "report.json", to_json(report_) + "\n");
    swap_in(workspace_);
    return report_;
  }

 private:
  std::unique_ptr<Tokenizer> tokenizer_for(const CleanedPosts& cleaned, size_t split) {
    if (!fs::exists(workspace_.tokenizer())) {
      size_t next = 0;
      const auto next_text = [&](std::string& text) {
        if (next == split || stop_requested()) return false;
        if (next % kTokenizeBatch == 0) progress_("tokenizer", next, split);
        text = cleaned.text(next++);
        return true;
      };
      const auto trained = train_byte_level_bpe(next_text, config_.integer("tokenizer.vocab_size"));
      end_prepare_if_stopped();
      trained->save(workspace_.tokenizer());
      report_.tokenizer_trained = true;
    }
    report_.tokenizer_sha256 = sha256_file_hex(workspace_.tokenizer());
    auto tokenizer = Tokenizer::load(workspace_.tokenizer());
    report_.vocab_size = tokenizer->vocab_size();
    return tokenizer;
  }

  void write_shards(const CleanedPosts& cleaned, size_t split, const Tokenizer& tokenizer) {
    const auto end_token = tokenizer.special_id(kEndToken);
    if (!end_token)
      throw DataError(
          fmt::format("{}: has no {} token; move it away to train one", workspace_.tokenizer().string(), kEndToken));
    ShardWriter writer(folder_, {.vocab_size = tokenizer.vocab_size(), .tokenizer_sha256 = report_.tokenizer_sha256});
    const std::vector<PlantedCanary> canaries = plan_canaries(canaries_, split);
    auto next_canary = canaries.begin();
    struct Encoded {
      size_t first = 0;
      std::vector<Sample> samples;
      std::vector<bool> cut;
    };
    size_t next = 0;
    const auto make = [&](Encoded& batch) {
      end_prepare_if_stopped();
      batch.first = next;
      batch.samples.resize(std::min(kTokenizeBatch, cleaned.posts.size() - next));
      next += batch.samples.size();
      return !batch.samples.empty();
    };
    const auto work = [&](Encoded& batch) {
      for (size_t i = 0; i < batch.samples.size(); ++i)
        batch.cut.push_back(make_sample(cleaned, batch.first + i, tokenizer, *end_token, batch.samples[i]));
    };
    const auto take = [&](const Encoded& batch) {
      for (size_t i = 0; i < batch.samples.size(); ++i) {
        report_.cut_posts += batch.cut[i] ? 1 : 0;
        for (; next_canary != canaries.end() && next_canary->before == batch.first + i; ++next_canary)
          add_canary(writer, *next_canary, batch.samples[i].time_s, tokenizer, *end_token);
        add(writer, batch.first + i < split, batch.samples[i]);
      }
      progress_("tokens", batch.first + batch.samples.size(), cleaned.posts.size());
    };
    OrderedPipeline<Encoded>({make, work, take}).run(compute_threads());
    writer.finish();
  }

  // True when the post had to be cut.
  bool make_sample(const CleanedPosts& cleaned, size_t index, const Tokenizer& tokenizer, TokenId end_token,
                   Sample& sample) const {
    const std::string_view text = cleaned.text(index);
    sample.tokens = tokenizer.encode(text);
    sample.text_bytes = static_cast<uint32_t>(text.size());
    const bool cut = sample.tokens.size() >= max_tokens_;
    if (cut) {
      sample.tokens.resize(max_tokens_ - 1);
      sample.text_bytes = 0;
      for (const TokenId token : sample.tokens)
        sample.text_bytes += static_cast<uint32_t>(tokenizer.token_bytes(token).size());
    }
    sample.tokens.push_back(end_token);
    sample.time_s = cleaned.posts[index].time_s;
    sample.post_id = cleaned.id(index);
    sample.author = cleaned.author(index);
    return cut;
  }

  void add_canary(ShardWriter& writer, const PlantedCanary& planted, int64_t time_s, const Tokenizer& tokenizer,
                  TokenId end_token) {
    const std::string text = canary(planted.index).text(), id = canary_post_id(planted.index, planted.copy);
    Sample sample{tokenizer.encode(text), static_cast<uint32_t>(text.size()), time_s, id, kCanaryAuthor};
    sample.tokens.push_back(end_token);
    ++report_.canary_samples;
    report_.train.tokens += sample.tokens.size();
    report_.train.text_bytes += sample.text_bytes;
    writer.add("train", sample);
  }

  void add(ShardWriter& writer, bool train, const Sample& sample) {
    SplitCounts& counts = train ? report_.train : report_.valid;
    if (counts.posts++ == 0) counts.first_time_s = sample.time_s;
    counts.last_time_s = sample.time_s;
    counts.tokens += sample.tokens.size();
    counts.text_bytes += sample.text_bytes;
    writer.add(train ? "train" : "valid", sample);
  }

  const Workspace& workspace_;
  const Config& config_;
  const ControlDb& control_;
  const PrepareProgress& progress_;
  fs::path folder_;
  size_t max_tokens_;
  int64_t canaries_;
  PrepareReport report_;
};

nlohmann::ordered_json to_json(const SplitCounts& split) {
  return {{"posts", split.posts},
          {"tokens", split.tokens},
          {"text_bytes", split.text_bytes},
          {"first_time", split.first_time_s},
          {"last_time", split.last_time_s}};
}

}  // namespace

PrepareReport prepare(const Workspace& workspace, const Config& config, const ControlDb& control,
                      const PrepareProgress& progress) {
  return Preparation(workspace, config, control, progress).run(0);
}

PrepareReport prepare_part(const Workspace& workspace, const Config& config, const ControlDb& control, const Part& part,
                           const PrepareProgress& progress) {
  if (part.count == 0 || part.index == 0 || part.index > part.count)
    throw ConfigError(fmt::format("part {}/{}: the first of n is 1/n, the last n/n", part.index, part.count));
  fs::create_directories(parts_folder(workspace));
  PrepareReport report;
  {
    const FileLock lock(part_file(workspace, part, "lock"), "prepare --shard");
    clean_part(workspace, config, control, part, progress, report);
  }
  purge_parts(workspace, control);  // deletions that came meanwhile found the part locked
  return report;
}

PrepareReport merge_parts(const Workspace& workspace, const Config& config, const ControlDb& control, uint32_t count,
                          const PrepareProgress& progress) {
  if (count == 0) throw ConfigError("nothing to merge: 0 parts");
  PrepareReport report = Preparation(workspace, config, control, progress).run(count);
  fs::remove_all(parts_folder(workspace));
  return report;
}

void purge_parts(const Workspace& workspace, const ControlDb& control) {
  const std::vector<Part> parts = parts_of(workspace);
  if (parts.empty()) return;
  const DeletedIds deleted = deleted_ids(control.tombstones());  // all: the last time a part may have been locked
  for (const Part& part : parts)
    if (const auto lock = lock_if_free(part_file(workspace, part, "lock"))) purge_part(workspace, deleted, part);
}

void remove_unfinished_shards(const Workspace& workspace) {
  const std::array folders = {unfinished_folder(workspace), replaced_folder(workspace)};
  if (std::none_of(folders.begin(), folders.end(), [](const fs::path& folder) { return fs::exists(folder); })) return;
  const std::unique_ptr<FileLock> lock = lock_if_free(lock_file(workspace));
  if (!lock) return;
  for (const fs::path& folder : folders) {
    std::error_code code;
    fs::remove_all(folder, code);
    if (code) throw IoError(fmt::format("{}: cannot remove the folder: {}", folder.string(), code.message()));
  }
}

std::string to_json(const PrepareReport& report) {
  nlohmann::ordered_json dropped, marks;
  for (size_t i = 0; i < kDropReasons; ++i) dropped[kDropNames[i]] = report.dropped[i];
  for (size_t i = 0; i < kPersonalDataKinds; ++i) marks[kPersonalDataMarks[i]] = report.personal_data[i];
  const nlohmann::ordered_json json = {{"posts", report.posts},
                                       {"kept", report.train.posts + report.valid.posts},
                                       {"dropped", dropped},
                                       {"train", to_json(report.train)},
                                       {"valid", to_json(report.valid)},
                                       {"canary_samples", report.canary_samples},
                                       {"cut_posts", report.cut_posts},
                                       {"personal_data", marks},
                                       {"languages", report.languages},
                                       {"vocab_size", report.vocab_size},
                                       {"tokenizer_sha256", report.tokenizer_sha256},
                                       {"tokenizer_trained", report.tokenizer_trained},
                                       {"tombstone_version", report.tombstone_version}};
  return dump_json(json, 1);
}

}  // namespace starling
