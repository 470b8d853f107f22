// The subcommands of `starling bench`, one file each. Every one checks its result before it times it, and measures the
// limit it is compared with in the same run.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "app/command.h"
#include "core/time.h"
#include "core/workspace.h"

namespace starling {

struct Spread {
  double median = 0, fastest = 0, slowest = 0;
};
Spread spread_of(std::vector<double> seconds);  // of at least one

// The seconds of each round of work.
template <typename Work>
Spread time_rounds(int64_t rounds, const Work& work) {
  std::vector<double> seconds;
  for (int64_t round = 0; round < rounds; ++round) {
    const double start = monotonic_s();
    work();
    seconds.push_back(monotonic_s() - start);
  }
  return spread_of(std::move(seconds));
}

// A workspace that goes with the benchmark.
class ScratchWorkspace {
 public:
  ScratchWorkspace();
  ScratchWorkspace(const ScratchWorkspace&) = delete;
  ~ScratchWorkspace();
  const Workspace workspace;
};

// An option from 1 to 2^20.
void add_size(Command command, const char* name, int64_t& value, const char* help);

void add_bench_ads(Command bench, const GlobalOptions& options);
void add_bench_machine(Command bench, const GlobalOptions& options);
void add_bench_infer(Command bench, const GlobalOptions& options);
void add_bench_prepare(Command bench, const GlobalOptions& options);
void add_bench_gemm(Command bench, const GlobalOptions& options);
void add_bench_tokenizer(Command bench, const GlobalOptions& options);
void add_bench_score(Command bench, const GlobalOptions& options);
void add_bench_serve(Command bench, const GlobalOptions& options);
void add_bench_train(Command bench, const GlobalOptions& options);

}  // namespace starling
