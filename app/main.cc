#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <exception>

#include "app/command.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/threads.h"

namespace starling {
namespace {

constexpr AddCommand kCommands[] = {add_init,   add_tokenizer, add_keys,   add_ingest,  add_prepare, add_import,
                                    add_export, add_generate,  add_plan,   add_serve,   add_train,   add_finetune,
                                    add_eval,   add_bench,     add_info,   add_index,   add_search,  add_ask,
                                    add_ads,    add_audit,     add_delete, add_opt_out, add_chat};

void add_global_flags(Command root, GlobalOptions& options) {
  root.add_option("-w,--workspace", options.workspace, "Folder of the workspace")
      .environment("STARLING_WORKSPACE")
      .show_default();
  root.add_option("--set", options.assignments, "Override a setting: section.key=value (repeatable)").one_value_each();
  root.add_option("--threads", options.threads, "Compute threads (default: all processors)").between(0, 1024);
  root.add_flag("--json", options.json, "Print results as JSON");
  root.add_flag("-q,--quiet", options.quiet, "No progress, only warnings and errors");
}

int run(int argc, char** argv) {
  const CommandLine line("starling",
                         "Starling: a language model from a platform's own posts, for its search and its advertising",
                         "starling " STARLING_VERSION);
  GlobalOptions options;
  add_global_flags(line.root(), options);
  for (AddCommand add : kCommands) add(line.root(), options);
  line.before_callbacks([&] {
    if (options.threads > 0) set_compute_threads(options.threads);
    Progress::set_quiet(options.quiet);
    spdlog::set_level(options.quiet ? spdlog::level::warn : spdlog::level::info);
  });
  const int exit_code = line.run(argc, argv);
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw IoError("standard output: the results could not be written to their end");
  return exit_code;
}

// Throws nothing, though standard error may be gone.
int failed(const std::exception& error, int exit_code) {
  std::fputs(fmt::format("starling: {}\n", error.what()).c_str(), stderr);
  return exit_code;
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
    return starling::failed(error, 2);
  } catch (const std::exception& error) {
    return starling::failed(error, 1);
  }
}
