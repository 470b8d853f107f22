#include <algorithm>
#include <filesystem>

#include "app/bench.h"
#include "core/hash.h"

namespace starling {

Spread spread_of(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

ScratchWorkspace::ScratchWorkspace()
    : workspace{std::filesystem::temp_directory_path() / ("starling-bench-" + random_hex(6))} {
  std::filesystem::create_directories(workspace.posts());
}

ScratchWorkspace::~ScratchWorkspace() {
  std::error_code ignored;
  std::filesystem::remove_all(workspace.root, ignored);
}

void add_size(Command command, const char* name, int64_t& value, const char* help) {
  command.add_option(name, value, help).between(int64_t{1}, int64_t{1} << 20).show_default();
}

void add_bench(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("bench", "Measure this machine and how much of it each part uses");
  command.require_subcommand();
  add_bench_machine(command, options);
  add_bench_tokenizer(command, options);
  add_bench_prepare(command, options);
  add_bench_gemm(command, options);
  add_bench_train(command, options);
  add_bench_infer(command, options);
  add_bench_score(command, options);
  add_bench_serve(command, options);
  add_bench_ads(command, options);
  command.footer(
      "Examples:\n  starling bench machine --json\n  starling bench gemm\n"
      "  starling bench train --layers 6 --width 384 --profile\n"
      "  starling bench infer --model tinyllama --prompt 512 --generate 64\n"
      "  starling bench score tweets.txt --model tinyllama\n"
      "  starling bench serve --rate 20 --requests 200\n"
      "  starling bench ads tweets.txt --campaigns 10000");
}

}  // namespace starling
