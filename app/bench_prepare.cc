#include <fmt/format.h>
#include <sys/resource.h>

#include "app/bench.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/threads.h"
#include "core/time.h"
#include "posts/ingest.h"
#include "posts/prepare.h"
#include "posts/shards.h"
#include "store/control_db.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

struct PrepareBenchArguments {
  std::vector<std::string> files, mappings;
  int runs = 3;
};

struct Timed {
  PrepareReport report;
  double seconds = 0;
};

Timed timed_prepare(const Workspace& workspace, const Config& config, const ControlDb& control) {
  Timed timed;
  const double start = monotonic_s();
  timed.report = prepare(workspace, config, control, [](const std::string&, uint64_t, uint64_t) {});
  timed.seconds = monotonic_s() - start;
  return timed;
}

// The result first: what was read is kept or dropped, the shards hold what the report says, and the same posts give
// the same bytes again.
void check_result(const Workspace& workspace, const PrepareReport& report, uint64_t stored) {
  uint64_t counted = report.train.posts + report.valid.posts;
  for (const uint64_t dropped : report.dropped) counted += dropped;
  const ShardReader train(workspace.shards(), "train"), valid(workspace.shards(), "valid");
  if (report.posts != stored || counted != report.posts ||
      train.sample_count() != report.train.posts + report.canary_samples ||
      valid.sample_count() != report.valid.posts || train.token_count() != report.train.tokens ||
      valid.token_count() != report.valid.tokens)
    throw Error(
        fmt::format("the benchmark's result is wrong: {} posts stored, {} read, {} kept or dropped, {} in shards",
                    stored, report.posts, counted, train.sample_count() + valid.sample_count()));
}

uint64_t ingest_all(const Workspace& workspace, const Config& config, const PrepareBenchArguments& arguments) {
  PostStore store(workspace.posts());
  IngestOptions options;
  options.rows = {RowFormat::kAuto, FieldMap(arguments.mappings), true, config.count("ingest.max_row_bytes"),
                  std::string(64, '0')};
  options.segment_posts = config.count("ingest.segment_posts");
  const IngestReport report = ingest(store, workspace.posts(), list_sources(arguments.files, "*"), options);
  if (!report.failed_files.empty()) throw DataError(report.failed_files.front());
  if (report.added == 0) throw DataError("the files hold no posts; check --map");
  return report.added;
}

uint64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) << 10;
}

void bench_prepare(const PrepareBenchArguments& arguments, const GlobalOptions& options) {
  const ScratchWorkspace scratch;
  const Workspace& workspace = scratch.workspace;
  const Config config = options.config();
  const uint64_t stored = ingest_all(workspace, config, arguments);
  const ControlDb control(workspace.control_db());
  const Timed first = timed_prepare(workspace, config, control);  // trains the tokenizer
  check_result(workspace, first.report, stored);
  const std::string manifest = read_file(workspace.shards() / "manifest.json");
  std::vector<double> seconds;
  for (int run = 0; run < arguments.runs; ++run) {
    seconds.push_back(timed_prepare(workspace, config, control).seconds);
    if (read_file(workspace.shards() / "manifest.json") != manifest)
      throw Error("the benchmark's result is wrong: a second run gave other bytes");
  }
  const Spread spread = spread_of(seconds);
  const double median = spread.median;
  const uint64_t text_bytes = first.report.train.text_bytes + first.report.valid.text_bytes;
  const auto posts = static_cast<double>(stored);
  if (options.json) {
    fmt::print("{}\n", dump_json(nlohmann::ordered_json{{"posts", stored},
                                                        {"kept", first.report.train.posts + first.report.valid.posts},
                                                        {"text_bytes", text_bytes},
                                                        {"threads", compute_threads()},
                                                        {"posts_per_s", posts / median},
                                                        {"mb_s", static_cast<double>(text_bytes) / 1e6 / median},
                                                        {"median_s", median},
                                                        {"fastest_s", spread.fastest},
                                                        {"slowest_s", spread.slowest},
                                                        {"with_tokenizer_training_s", first.seconds},
                                                        {"peak_memory_bytes", peak_memory_bytes()}},
                                 2));
    return;
  }
  fmt::print(
      "{} posts, {} threads: {:.0f} posts/s, {:.1f} MB/s of kept text (median {:.2f} s of {}; {:.2f} to {:.2f} s)\n"
      "with the training of the tokenizer {:.2f} s; peak memory {:.0f} MB, ingest included\n",
      stored, compute_threads(), posts / median, static_cast<double>(text_bytes) / 1e6 / median, median, arguments.runs,
      spread.fastest, spread.slowest, first.seconds, static_cast<double>(peak_memory_bytes()) / 1e6);
}

}  // namespace

void add_bench_prepare(Command bench, const GlobalOptions& options) {
  Command command =
      bench.add_subcommand("prepare", "Prepare of post files in a workspace of its own, checked and timed");
  auto arguments = std::make_shared<PrepareBenchArguments>();
  command.add_option("files", arguments->files, "Post files, as for `starling ingest`").required();
  command.add_option("--map", arguments->mappings, "As for `starling ingest`, for all files").one_value_each();
  command.add_option("--runs", arguments->runs, "Timed runs after the first").show_default().between(1, 100);
  command.footer(
      "Example:\n"
      "  starling bench prepare --map text=title+text --map community=sub --map time=t+time --map language=lang \\\n"
      "    reddit-posts.jsonl.zst ira-tweets.jsonl.zst --json");
  command.callback([arguments, &options] { bench_prepare(*arguments, options); });
}

}  // namespace starling
