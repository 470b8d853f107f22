#include <fmt/format.h>

#include <map>
#include <memory>

#include "app/command.h"
#include "core/json.h"
#include "store/control_db.h"
#include "store/opt_out.h"

namespace starling {
namespace {

struct OptOutArguments {
  std::string author;
  std::vector<std::string> purposes;
};

void change(const GlobalOptions& options, const OptOutArguments& arguments, bool opt_out) {
  ControlDb control(options.open_workspace().control_db());
  for (const std::string& purpose : arguments.purposes) {
    const bool changed = set_opt_out(control, arguments.author, purpose, opt_out);
    if (!options.json)
      fmt::print("{} is {} of {}{}\n", arguments.author, opt_out ? "out" : "no longer out", purpose,
                 changed ? "" : ", as before");
  }
  if (options.json)
    fmt::print("{}\n", dump_json_lossy(nlohmann::json{
                           {"author", arguments.author}, {"purposes", arguments.purposes}, {"opt_out", opt_out}}));
}

void list_opt_outs(const GlobalOptions& options) {
  const ControlDb control(options.open_workspace().control_db());
  std::map<std::string, std::vector<std::string>> purposes;  // by author
  for (const char* purpose : kOptOutPurposes)
    for (const std::string& author : control.opted_out_authors(purpose)) purposes[author].push_back(purpose);
  if (options.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const auto& [author, of] : purposes) rows.push_back({{"author", author}, {"purposes", of}});
    return fmt::print("{}\n", dump_json_lossy(rows));
  }
  if (purposes.empty()) fmt::print("Nobody has opted out; `starling opt-out add AUTHOR` writes it down.\n");
  for (const auto& [author, of] : purposes) fmt::print("{:<24} {}\n", author, fmt::join(of, " "));
}

}  // namespace

void add_opt_out(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("opt-out", "Authors who do not want their posts used, and for what");
  command.require_subcommand();
  command.footer(
      "Examples:\n  starling opt-out add alice                       # of training\n"
      "  starling opt-out add alice --purpose ads --purpose search\n  starling opt-out remove alice --purpose ads\n"
      "  starling opt-out list --json\n"
      "training: no tokenizer, model or tuning learns from the posts, from the next step on, prepared shards "
      "included.\n"
      "ads: the author counts in no audience. search: no search or answer shows the posts. A model that has seen them\n"
      "is not unlearnt: `starling audit data --author alice` names it.");
  auto arguments = std::make_shared<OptOutArguments>();
  const auto add_arguments = [arguments](Command changing) {
    changing.add_option("author", arguments->author, "Id of the author").required();
    changing.add_option("--purpose", arguments->purposes, "training, ads or search (repeatable; default: training)")
        .one_value_each()
        .one_of({kOptOutPurposes.begin(), kOptOutPurposes.end()});
  };
  const auto with_default = [arguments]() -> const OptOutArguments& {
    if (arguments->purposes.empty()) arguments->purposes = {"training"};
    return *arguments;
  };
  Command adding = command.add_subcommand("add", "Leave the author's posts out, from now on");
  add_arguments(adding);
  adding.callback([with_default, &options] { change(options, with_default(), true); });
  Command removing = command.add_subcommand("remove", "Use the author's posts again");
  add_arguments(removing);
  removing.callback([with_default, &options] { change(options, with_default(), false); });
  command.add_subcommand("list", "Who has opted out, and of what").callback([&options] { list_opt_outs(options); });
}

}  // namespace starling
