#include "app/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <filesystem>

namespace starling {
namespace {

double number_of(const std::string& text) {
  double value = 0;
  return CLI::detail::lexical_cast(text, value) ? value : std::nan("");
}

// CLI11's ranges let nan pass, and its check for positive numbers names the largest one with all of its digits.
std::string check_finite(const std::string& text) {
  return std::isfinite(number_of(text)) ? "" : fmt::format("{} is not a finite number", text);
}
std::string check_positive(const std::string& text) {
  return number_of(text) > 0 ? "" : fmt::format("{} is not above 0", text);
}

}  // namespace

Option Option::required() const { return Option(option_->required()); }
Option Option::show_default() const { return Option(option_->capture_default_str()); }
Option Option::one_of(const std::vector<std::string>& values) const {
  return Option(option_->check(CLI::IsMember(values)));
}
Option Option::between_integers(int64_t least, int64_t most) const {
  return Option(option_->check(CLI::Range(least, most)));
}
Option Option::between_reals(double least, double most) const {
  return Option(option_->check(CLI::Range(least, most)));
}
Option Option::positive() const { return Option(option_->check(check_positive, "POSITIVE")); }
Option Option::existing_file() const { return Option(option_->check(CLI::ExistingFile)); }
Option Option::excludes(Option other) const { return Option(option_->excludes(other.option_)); }
Option Option::needs(Option other) const { return Option(option_->needs(other.option_)); }
Option Option::one_value_each() const { return Option(option_->allow_extra_args(false)); }
Option Option::comma_separated() const { return Option(option_->delimiter(',')); }
Option Option::environment(const std::string& name) const { return Option(option_->envname(name)); }
bool Option::given() const { return option_->count() > 0; }

Command Command::add_subcommand(const std::string& name, const std::string& help) const {
  return Command(app_->add_subcommand(name, help));
}

template <class T>
Option Command::add_option(const std::string& name, T& value, const std::string& help) const {
  CLI::Option* option = app_->add_option(name, value, help);
  if constexpr (std::floating_point<T>) option->check(check_finite, "");
  return Option(option);
}
template Option Command::add_option(const std::string&, std::string&, const std::string&) const;
template Option Command::add_option(const std::string&, std::filesystem::path&, const std::string&) const;
template Option Command::add_option(const std::string&, std::vector<std::string>&, const std::string&) const;
template Option Command::add_option(const std::string&, int&, const std::string&) const;
template Option Command::add_option(const std::string&, int64_t&, const std::string&) const;
template Option Command::add_option(const std::string&, uint32_t&, const std::string&) const;
template Option Command::add_option(const std::string&, uint64_t&, const std::string&) const;
template Option Command::add_option(const std::string&, float&, const std::string&) const;
template Option Command::add_option(const std::string&, double&, const std::string&) const;

Option Command::add_flag(const std::string& name, bool& value, const std::string& help) const {
  return Option(app_->add_flag(name, value, help));
}

Command Command::add_choice() const {
  CLI::App* group = app_->add_option_group("choice");
  group->require_option(1);
  return Command(group);
}

void Command::footer(const std::string& text) const { app_->footer(text); }
void Command::require_subcommand() const { app_->require_subcommand(1); }
void Command::callback(std::function<void()> work) const { app_->callback(std::move(work)); }
bool Command::subcommand_given() const { return !app_->get_subcommands().empty(); }

CommandLine::CommandLine(const std::string& name, const std::string& description, const std::string& version)
    : app_(std::make_unique<CLI::App>(description, name)) {
  app_->set_version_flag("--version", version);
  app_->require_subcommand(1);
  app_->fallthrough();
}

CommandLine::~CommandLine() = default;

void CommandLine::before_callbacks(std::function<void()> work) const { app_->parse_complete_callback(std::move(work)); }

int CommandLine::run(int argc, char** argv) const {
  try {
    app_->parse(argc, argv);
    return 0;
  } catch (const CLI::Success& success) {  // --help, --version
    return app_->exit(success);
  } catch (const CLI::ParseError& error) {
    app_->exit(error);
    return 2;
  }
}

}  // namespace starling
