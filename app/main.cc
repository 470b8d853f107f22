#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "app/command.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/threads.h"

namespace starling {
namespace {

constexpr AddCommand kCommands[] = {add_init,   add_tokenizer, add_keys,   add_ingest, add_prepare, add_import,
                                    add_export, add_generate,  add_plan,   add_serve,  add_train,   add_finetune,
                                    add_eval,   add_bench,     add_info,   add_index,  add_search,  add_ask,
                                    add_ads,    add_audit,     add_delete, add_chat};

void add_global_flags(CLI::App& root, GlobalOptions& options) {
  root.add_option("-w,--workspace", options.workspace, "Folder of the workspace")
      ->envname("STARLING_WORKSPACE")
      ->capture_default_str();
  root.add_option("--set", options.assignments, "Override a setting: section.key=value (repeatable)")
      ->allow_extra_args(false);
  root.add_option("--threads", options.threads, "Compute threads (default: all processors)");
  root.add_flag("--json", options.json, "Print results as JSON");
  root.add_flag("-q,--quiet", options.quiet, "No progress, only warnings and errors");
}

int run(int argc, char** argv) {
  CLI::App root{"Starling: a language model from a platform's own posts, for its search and its advertising",
                "starling"};
  GlobalOptions options;
  add_global_flags(root, options);
  root.set_version_flag("--version", "starling " STARLING_VERSION);
  root.require_subcommand(1);
  root.fallthrough();
  for (AddCommand add : kCommands) add(root, options);
  root.parse_complete_callback([&] {
    if (options.threads > 0) set_compute_threads(options.threads);
    Progress::set_quiet(options.quiet);
    spdlog::set_level(options.quiet ? spdlog::level::warn : spdlog::level::info);
  });
  try {
    root.parse(argc, argv);
    return 0;
  } catch (const CLI::Success& success) {
    return root.exit(success);
  } catch (const CLI::ParseError& error) {
    root.exit(error);
    return 2;
  }
}

}  // namespace
}  // namespace starling

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("starling"));
  spdlog::set_pattern("%^%l%$: %v");
  starling::install_stop_signals();
  try {
    return starling::run(argc, argv);
  } catch (const starling::ConfigError& error) {
    fmt::print(stderr, "starling: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "starling: {}\n", error.what());
    return 1;
  }
}
