#include <fmt/format.h>

#include <algorithm>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "store/key_changes.h"

namespace starling {
namespace {

constexpr size_t kMaxNameBytes = 64;

// A name is shown in logs and the audit log, so it is plain: letters, digits, and . _ @ -
void check_key_name(const std::string& name) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '@' || c == '-'; };
  if (name.size() > kMaxNameBytes || !std::all_of(name.begin(), name.end(), plain))
    throw ConfigError(fmt::format("the name of a key has at most {} letters, digits or . _ @ -", kMaxNameBytes));
}

// null stands for what the server gives to every key.
nlohmann::json to_json(const ApiKey& key) {
  const auto or_null = [](auto limit) { return limit < 0 ? nlohmann::json() : nlohmann::json(limit); };
  return {{"name", key.name},
          {"role", key.role},
          {"requests_per_second", or_null(key.limits.requests_per_second)},
          {"tokens_per_day", or_null(key.limits.tokens_per_day)}};
}

void print_row(const ApiKey& key) {
  std::string limits;
  if (key.limits.requests_per_second >= 0) limits += fmt::format("  {} requests/s", key.limits.requests_per_second);
  if (key.limits.tokens_per_day > 0) limits += fmt::format("  {} tokens/day", key.limits.tokens_per_day);
  if (key.limits.tokens_per_day == 0) limits += "  any number of tokens";
  fmt::print("{:<24} {:<6}{}\n", key.name, key.role, limits);
}

ConfigError no_such_key(const std::string& name) {
  return ConfigError(fmt::format("there is no key named `{}`; `starling keys list` shows them", name));
}

// Of `create` and `set`.
void add_limits(Command command, KeyLimits& limits) {
  command.add_option("--requests-per-second", limits.requests_per_second, "Its own, not server.requests_per_second")
      .between(1e-3, 1e9);
  command.add_option("--tokens-per-day", limits.tokens_per_day, "Its own, not server.tokens_per_day; 0: no limit")
      .between(int64_t{0}, int64_t{1} << 50);
}

void create(const GlobalOptions& options, const std::string& name, const std::string& role, const KeyLimits& limits) {
  check_key_name(name);
  ControlDb control(options.open_workspace().control_db());
  const std::string key = grant_key(control, {name, role, limits});
  if (options.json) {
    nlohmann::json made = to_json({name, role, limits});
    made["key"] = key;
    return fmt::print("{}\n", dump_json(made));
  }
  fmt::print("{}\n", key);
  fmt::print(stderr, "This is the only time the key of {} ({}) is shown; only its digest is stored.\n", name, role);
}

void list(const GlobalOptions& options) {
  const std::vector<ApiKey> keys = ControlDb(options.open_workspace().control_db()).keys();
  if (options.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const ApiKey& key : keys) rows.push_back(to_json(key));
    return fmt::print("{}\n", dump_json(rows));
  }
  if (keys.empty()) fmt::print("No keys yet; `starling keys create NAME --role admin` makes one.\n");
  for (const ApiKey& key : keys) print_row(key);
}

void set(const GlobalOptions& options, const std::string& name, const KeyLimits& limits, bool reset) {
  KeyLimitChange change;
  if (reset || limits.requests_per_second >= 0) change.requests_per_second = limits.requests_per_second;
  if (reset || limits.tokens_per_day >= 0) change.tokens_per_day = limits.tokens_per_day;
  if (!change.requests_per_second && !change.tokens_per_day)
    throw ConfigError("nothing to set; give --requests-per-second, --tokens-per-day or --reset");
  ControlDb control(options.open_workspace().control_db());
  const std::optional<ApiKey> key = change_key(control, name, change);
  if (!key) throw no_such_key(name);
  if (options.json) return fmt::print("{}\n", dump_json(to_json(*key)));
  print_row(*key);
}

void revoke(const GlobalOptions& options, const std::string& name) {
  ControlDb control(options.open_workspace().control_db());
  if (!withdraw_key(control, name)) throw no_such_key(name);
  if (options.json) return fmt::print("{}\n", dump_json(nlohmann::json{{"revoked", name}}));
  fmt::print("The key of {} is revoked, from the next request on.\n", name);
}

}  // namespace

void add_keys(Command root, const GlobalOptions& options) {
  Command keys = root.add_subcommand("keys", "Make, list, change and revoke the API keys of `starling serve`");
  keys.require_subcommand();
  keys.footer(
      "Examples:\n  starling keys create frontend --role search\n"
      "  starling keys create trial --role search --requests-per-second 2 --tokens-per-day 20000\n"
      "  starling keys list\n  starling keys set trial --tokens-per-day 50000\n  starling keys revoke frontend\n"
      "Roles: admin (everything), read (search, plan, training, ad library), search (read, posts, models), ads (read, "
      "ads)");
  auto name = std::make_shared<std::string>(), role = std::make_shared<std::string>("read");

  Command creating = keys.add_subcommand("create", "Make a key and print it once");
  creating.add_option("name", *name, "Who it is for").required();
  creating.add_option("--role", *role, "What it may do").one_of({"admin", "read", "search", "ads"}).show_default();
  auto limits = std::make_shared<KeyLimits>();
  add_limits(creating, *limits);
  creating.callback([name, role, limits, &options] { create(options, *name, *role, *limits); });

  keys.add_subcommand("list", "Names, roles and own limits of the keys").callback([&options] { list(options); });

  Command setting = keys.add_subcommand("set", "Change the limits of a key, from its next request on");
  setting.add_option("name", *name, "Whose key").required();
  auto new_limits = std::make_shared<KeyLimits>();
  add_limits(setting, *new_limits);
  auto reset = std::make_shared<bool>(false);
  setting.add_flag("--reset", *reset, "The server's limits again where no other option gives one");
  setting.callback([name, new_limits, reset, &options] { set(options, *name, *new_limits, *reset); });

  Command revoking = keys.add_subcommand("revoke", "Make a key worthless");
  revoking.add_option("name", *name, "Whose key").required();
  revoking.callback([name, &options] { revoke(options, *name); });
}

}  // namespace starling
