// The command line is one file a command: parse, call the library, print. Results go to stdout, logs and progress to
// stderr.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "app/command_line.h"
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

// For a process that serves: its threads share a few heaps instead of having one each. Before the first thread begins.
void share_heaps();

// Each adds one subcommand whose callback does the work; an error is thrown and printed by main.
using AddCommand = void (*)(Command root, const GlobalOptions& options);
void add_init(Command root, const GlobalOptions& options);
void add_ingest(Command root, const GlobalOptions& options);
void add_prepare(Command root, const GlobalOptions& options);
void add_tokenizer(Command root, const GlobalOptions& options);
void add_train(Command root, const GlobalOptions& options);
void add_finetune(Command root, const GlobalOptions& options);
void add_eval(Command root, const GlobalOptions& options);
void add_eval_search(Command eval, const GlobalOptions& options);  // nested under `eval`
void add_eval_quant(Command eval, const GlobalOptions& options);   // so is this
void add_eval_posts(Command eval, const GlobalOptions& options);
void add_eval_canary(Command eval, const GlobalOptions& options);
void add_generate(Command root, const GlobalOptions& options);
void add_chat(Command root, const GlobalOptions& options);
void add_import(Command root, const GlobalOptions& options);
void add_export(Command root, const GlobalOptions& options);
void add_index(Command root, const GlobalOptions& options);
void add_search(Command root, const GlobalOptions& options);
void add_ask(Command root, const GlobalOptions& options);
void add_ads(Command root, const GlobalOptions& options);
void add_audit(Command root, const GlobalOptions& options);
void add_audit_data(Command audit, const GlobalOptions& options);  // nested under `audit`
void add_delete(Command root, const GlobalOptions& options);
void add_opt_out(Command root, const GlobalOptions& options);
void add_serve(Command root, const GlobalOptions& options);
void add_keys(Command root, const GlobalOptions& options);
void add_plan(Command root, const GlobalOptions& options);
void add_bench(Command root, const GlobalOptions& options);
void add_info(Command root, const GlobalOptions& options);

}  // namespace starling
