// The command line is one file a command: parse, call the library, print. Results go to stdout, logs and progress to
// stderr.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/workspace.h"

namespace starling {

// The flags that every command shares.
struct GlobalOptions {
  std::filesystem::path workspace = ".";
  std::vector<std::string> assignments;  // --set section.key=value
  bool json = false;
  bool quiet = false;
  int threads = 0;  // 0: all processors

  Workspace open_workspace() const { return Workspace::open(workspace); }
  Config config() const;  // defaults < workspace's starling.toml < --set
};

// Every settings table of every module, in the order of `starling.toml`.
std::vector<ConfigKey> all_config_keys();

// Each adds one subcommand whose callback does the work; an error is thrown and printed by main.
using AddCommand = void (*)(CLI::App& root, const GlobalOptions& options);
void add_init(CLI::App& root, const GlobalOptions& options);
void add_ingest(CLI::App& root, const GlobalOptions& options);
void add_prepare(CLI::App& root, const GlobalOptions& options);
void add_tokenizer(CLI::App& root, const GlobalOptions& options);
void add_train(CLI::App& root, const GlobalOptions& options);
void add_finetune(CLI::App& root, const GlobalOptions& options);
void add_eval(CLI::App& root, const GlobalOptions& options);
void add_eval_search(CLI::App& eval, const GlobalOptions& options);  // nested under `eval`
void add_eval_quant(CLI::App& eval, const GlobalOptions& options);   // so is this
void add_eval_posts(CLI::App& eval, const GlobalOptions& options);
void add_eval_canary(CLI::App& eval, const GlobalOptions& options);
void add_generate(CLI::App& root, const GlobalOptions& options);
void add_chat(CLI::App& root, const GlobalOptions& options);
void add_import(CLI::App& root, const GlobalOptions& options);
void add_export(CLI::App& root, const GlobalOptions& options);
void add_index(CLI::App& root, const GlobalOptions& options);
void add_search(CLI::App& root, const GlobalOptions& options);
void add_ask(CLI::App& root, const GlobalOptions& options);
void add_ads(CLI::App& root, const GlobalOptions& options);
void add_audit(CLI::App& root, const GlobalOptions& options);
void add_audit_data(CLI::App& audit, const GlobalOptions& options);  // nested under `audit`
void add_delete(CLI::App& root, const GlobalOptions& options);
void add_serve(CLI::App& root, const GlobalOptions& options);
void add_keys(CLI::App& root, const GlobalOptions& options);
void add_plan(CLI::App& root, const GlobalOptions& options);
void add_bench(CLI::App& root, const GlobalOptions& options);
void add_info(CLI::App& root, const GlobalOptions& options);

}  // namespace starling
