// The subcommands of `starling bench`, one file each. Every one checks its result before it times it, and measures the
// limit it is compared with in the same run.
#pragma once

#include "app/command.h"

namespace starling {

void add_bench_machine(CLI::App& bench, const GlobalOptions& options);
void add_bench_infer(CLI::App& bench, const GlobalOptions& options);
void add_bench_prepare(CLI::App& bench, const GlobalOptions& options);
void add_bench_gemm(CLI::App& bench, const GlobalOptions& options);
void add_bench_tokenizer(CLI::App& bench, const GlobalOptions& options);
void add_bench_serve(CLI::App& bench, const GlobalOptions& options);
void add_bench_train(CLI::App& bench, const GlobalOptions& options);

}  // namespace starling
