#include <fmt/format.h>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "core/progress.h"
#include "posts/ingest.h"
#include "posts/mail.h"
#include "posts/purge.h"
#include "posts/quarantine.h"
#include "store/bury.h"
#include "store/control_db.h"

namespace starling {
namespace {

struct IngestArguments {
  std::vector<std::string> sources;
  std::string format = "auto", include = "*";
  std::vector<std::string> mappings;
  bool derive_ids = false;
};

uint64_t total_bytes(const std::vector<std::filesystem::path>& files) {
  uint64_t bytes = 0;
  for (const auto& file : files) {
    if (file == "-" || !std::filesystem::is_regular_file(file)) return 0;
    bytes += std::filesystem::file_size(file);
  }
  return bytes;
}

void print_json(const IngestReport& report) {
  const nlohmann::json json = {{"files", report.files},
                               {"rows", report.rows},
                               {"added", report.added},
                               {"known", report.known},
                               {"deleted", report.deleted},
                               {"bad", report.bad},
                               {"other", report.other},
                               {"deletions", report.deletions},
                               {"without_time", report.without_time},
                               {"problems", report.problems},
                               {"failed_files", report.failed_files},
                               {"interrupted", report.interrupted}};
  fmt::print("{}\n", dump_json_lossy(json, 1));
}

void print_summary(const IngestReport& report, const std::filesystem::path& quarantine) {
  for (const std::string& problem : report.problems) fmt::print(stderr, "{}\n", problem);
  if (report.bad > report.problems.size())
    fmt::print(stderr, "... and {} more bad rows\n", report.bad - report.problems.size());
  fmt::print("{:>10} rows of {} files\n{:>10} new posts\n{:>10} known already\n", report.rows, report.files,
             report.added, report.known);
  if (report.deleted > 0) fmt::print("{:>10} left out: deleted on the platform\n", report.deleted);
  if (report.other > 0) fmt::print("{:>10} are not posts: likes, boosts, messages to a few\n", report.other);
  if (report.deletions > 0) fmt::print("{:>10} deletions of the source, obeyed\n", report.deletions);
  if (report.bad > 0) fmt::print("{:>10} bad rows, kept in {}\n", report.bad, quarantine.string());
  if (report.without_time > 0) fmt::print("{:>10} have no time: they sort before all others\n", report.without_time);
}

void check(const IngestReport& report) {
  if (report.interrupted)
    throw Error("ingest was interrupted; what it read is stored, run the same command again to go on");
  if (!report.failed_files.empty())
    throw DataError(fmt::format("{} of {} files could not be read to their end: {}", report.failed_files.size(),
                                report.files, report.failed_files.front()));
  if (report.bad > 0 && report.bad == report.rows)
    throw DataError(fmt::format("none of the {} rows could be read; check --format and --map", report.rows));
}

void run_ingest(const IngestArguments& arguments, const GlobalOptions& options) {
  const Workspace workspace = options.open_workspace();
  const Config config = options.config();
  const auto files = list_sources(arguments.sources, arguments.include);
  PostStore store(workspace.posts());
  ControlDb control(workspace.control_db());
  const uint64_t bytes = total_bytes(files);
  Progress progress("ingest", bytes / 1024, bytes > 0 ? "kB" : "rows");
  IngestOptions ingest_options;
  ingest_options.rows = {parse_row_format(arguments.format), FieldMap(arguments.mappings), arguments.derive_ids,
                         config.count("ingest.max_row_bytes"), read_or_make_author_key(workspace.posts())};
  ingest_options.segment_posts = config.count("ingest.segment_posts");
  ingest_options.is_deleted = [&](const Post& post) { return control.is_deleted(post.id, post.author); };
  ingest_options.names_deleted = [&](const std::vector<std::string>& ids) { return control.names_deleted(ids); };
  ingest_options.progress = [&](uint64_t consumed, uint64_t rows, uint64_t bad) {
    progress.update(bytes > 0 ? consumed / 1024 : rows, fmt::format("{} posts, {} bad", rows - bad, bad));
  };
  // A tombstone at once; the posts that are stored go when all is read.
  ingest_options.on_deletion = [&](const std::string& kind, const std::string& id) {
    if (!id.empty()) bury(control, kind, id, "deleted at the source");
  };
  const IngestReport report = ingest(store, workspace.posts(), files, ingest_options);
  purge_deleted(workspace, store, control, control.unpurged());
  if (options.json) print_json(report);
  else print_summary(report, workspace.posts() / Quarantine::kFileName);
  check(report);
}

}  // namespace

void add_ingest(Command root, const GlobalOptions& options) {
  Command command =
      root.add_subcommand("ingest", "Read posts from files of many platforms or from Kafka; plain, gzip or zstd");
  auto arguments = std::make_shared<IngestArguments>();
  command.add_option("sources", arguments->sources, "Files, folders, - for standard input, or kafka://host:port/topic")
      .required();
  command.add_option("--format", arguments->format, row_format_names()).show_default();
  command.add_option("--map", arguments->mappings, "field=source, field=first+second or field==constant (repeatable)")
      .one_value_each();
  command.add_option("--include", arguments->include, "Only files of folders whose name matches, for example '*.txt'")
      .show_default();
  command.add_flag("--derive-ids", arguments->derive_ids, "Give rows without id the hash of author, time and text");
  command.footer(
      "Examples:\n"
      "  starling ingest posts.jsonl.zst\n"
      "  starling ingest --map text=title+text --map community=sub --map time=t --map likes=score reddit.jsonl.zst\n"
      "  starling ingest --map author=user.name --map time=created_at --map hashtags=entities.hashtags.text "
      "tweets.json.gz\n"
      "  starling ingest ~/x-archive/data/tweets.js --map author==12345\n"
      "  starling ingest outbox.json RC_2012-01.zst jetstream.jsonl\n"
      "  starling ingest 'kafka://localhost:9092/posts?group=starling'\n"
      "  starling ingest --format mail --include '*.txt' archive/\n"
      "  zcat export.csv.gz | starling ingest --format csv --map text=body -");
  command.callback([arguments, &options] { run_ingest(*arguments, options); });
}

}  // namespace starling
