#include <fmt/format.h>

#include <charconv>

#include "app/command.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/time.h"
#include "posts/prepare.h"
#include "store/control_db.h"

namespace starling {
namespace {

std::string spaced(std::string name) {
  for (char& c : name)
    if (c == '_') c = ' ';
  return name;
}

// One bar a stage.
class StageProgress {
 public:
  void update(const std::string& stage, uint64_t done, uint64_t total) {
    if (stage != stage_) bar_ = std::make_unique<Progress>("prepare: " + spaced(stage), total, "posts");
    stage_ = stage;
    bar_->update(done);
  }

 private:
  std::string stage_;
  std::unique_ptr<Progress> bar_;
};

void print_row(const std::string& name, uint64_t posts, uint64_t all, const std::string& note = {}) {
  const double percent = all > 0 ? 100.0 * static_cast<double>(posts) / static_cast<double>(all) : 0;
  fmt::print("{:<24}{:>12}{:>8.1f} %  {}\n", name, posts, percent, note);
}

std::string span(const SplitCounts& split) {
  if (split.posts == 0) return {};
  return fmt::format("{} tokens, {} to {}", split.tokens, format_day(split.first_time_s),
                     format_day(split.last_time_s));
}

void print_table(const PrepareReport& report, int64_t asked_vocab_size) {
  print_row("posts read", report.posts, report.posts);
  for (size_t i = 0; i < kDropReasons; ++i)
    if (report.dropped[i] > 0) print_row("  dropped: " + spaced(kDropNames[i]), report.dropped[i], report.posts);
  print_row("kept for training", report.train.posts, report.posts, span(report.train));
  print_row("kept for validation", report.valid.posts, report.posts, span(report.valid));
  if (report.canary_samples > 0)
    print_row("canaries planted", report.canary_samples, report.posts, "for `starling eval canary`");
  if (report.cut_posts > 0) print_row("cut to max_tokens", report.cut_posts, report.posts);
  std::string marks;
  for (size_t i = 0; i < kPersonalDataKinds; ++i)
    marks += fmt::format(" {} {}", kPersonalDataMarks[i], report.personal_data[i]);
  fmt::print("personal data replaced:{}\n", marks);
  std::string note = report.tokenizer_trained ? ", trained now" : "";
  if (!report.tokenizer_trained && report.vocab_size != asked_vocab_size)
    note = fmt::format(
        ", kept as it was; tokenizer.vocab_size = {} counts where there is none, or for "
        "`starling tokenizer train`",
        asked_vocab_size);
  fmt::print("tokenizer: {} tokens{}\n", report.vocab_size, note);
}

// "3/16"
Part parse_part(const std::string& text) {
  Part part;
  const char* const end = text.data() + text.size();
  const auto index = std::from_chars(text.data(), end, part.index);
  const bool slash = index.ec == std::errc() && index.ptr != end && *index.ptr == '/';
  const auto count = slash ? std::from_chars(index.ptr + 1, end, part.count) : index;
  if (!slash || count.ec != std::errc() || count.ptr != end)
    throw ConfigError(fmt::format("--shard {}: write i/n, for example 3/16", text));
  return part;
}

void print_part(const Part& part, const PrepareReport& report) {
  uint64_t dropped = 0;
  for (const uint64_t count : report.dropped) dropped += count;
  fmt::print("part {} of {}: {} posts read, {} dropped; when all parts are there: starling prepare --merge {}\n",
             part.index, part.count, report.posts, dropped, part.count);
}

void run_prepare(const GlobalOptions& options, const std::string& shard, uint32_t merge) {
  const Workspace workspace = options.open_workspace();
  const Config config = options.config();
  const ControlDb control(workspace.control_db());
  PrepareReport report;
  {
    StageProgress progress;
    const PrepareProgress show = [&](const std::string& stage, uint64_t done, uint64_t total) {
      progress.update(stage, done, total);
    };
    if (!shard.empty()) report = prepare_part(workspace, config, control, parse_part(shard), show);
    else if (merge > 0) report = merge_parts(workspace, config, control, merge, show);
    else report = prepare(workspace, config, control, show);
  }
  if (options.json) fmt::print("{}\n", to_json(report));
  else if (!shard.empty()) print_part(parse_part(shard), report);
  else print_table(report, config.integer("tokenizer.vocab_size"));
}

}  // namespace

void add_prepare(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("prepare", "Clean the posts, drop duplicates and spam, and write token shards");
  command.footer(
      "Posts that are deleted or whose author has opted out of training are dropped. A tokenizer is trained when the\n"
      "workspace has none. The old shards stay in place until the new ones are complete.\n\n"
      "Examples:\n"
      "  starling prepare\n"
      "  starling prepare --set prepare.languages=en --set prepare.max_posts_per_author=1000 --json\n"
      "  starling prepare --shard $SLURM_ARRAY_TASK_ID/16    # on 16 machines that share the workspace, then once:\n"
      "  starling prepare --merge 16");
  auto shard = std::make_shared<std::string>();
  auto merge = std::make_shared<uint32_t>(0);
  Option part = command.add_option("--shard", *shard, "i/n: only read and examine the i-th of n shares of the posts");
  command.add_option("--merge", *merge, "n: make the shards from the n shares").between(1, 99999).excludes(part);
  command.callback([&options, shard, merge] { run_prepare(options, *shard, *merge); });
}

}  // namespace starling
