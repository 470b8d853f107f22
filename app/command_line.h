// The command line's parts, over CLI11. That library is one header of 9,000 lines whose every inline function each
// file that includes it compiles again: here it is compiled once.
//
// Command and Option are handles, cheap to copy, valid as long as their CommandLine.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace starling {

class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option required() const;
  Option show_default() const;  // the variable's present value, in --help
  Option one_of(const std::vector<std::string>& values) const;
  template <class Number>
  Option between(Number least, Number most) const {  // both may be reached
    if constexpr (std::integral<Number>) return between_integers(least, most);
    else return between_reals(least, most);
  }
  Option positive() const;
  Option existing_file() const;
  Option excludes(Option other) const;
  Option needs(Option other) const;
  Option one_value_each() const;  // of a repeatable option, so that what follows the value is not taken as another
  Option comma_separated() const;
  Option environment(const std::string& name) const;  // read when the option is not given
  bool given() const;                                 // after parsing

 private:
  Option between_integers(int64_t least, int64_t most) const;
  Option between_reals(double least, double most) const;
  CLI::Option* option_;
};

class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}
  Command add_subcommand(const std::string& name, const std::string& help) const;
  // Parsed into `value`, which must live until the command has run. The types are those command_line.cc lists.
  template <class T>
  Option add_option(const std::string& name, T& value, const std::string& help) const;
  Option add_flag(const std::string& name, bool& value, const std::string& help) const;
  Command add_choice() const;  // a group of options of which exactly one must be given
  void footer(const std::string& text) const;
  void require_subcommand() const;
  void callback(std::function<void()> work) const;  // an error that it throws leaves CommandLine::run
  bool subcommand_given() const;                    // after parsing

 private:
  CLI::App* app_;
};

// A program's whole command line.
class CommandLine {
 public:
  CommandLine(const std::string& name, const std::string& description, const std::string& version);
  ~CommandLine();
  Command root() const { return Command(app_.get()); }
  void before_callbacks(std::function<void()> work) const;
  // Parses and runs the chosen command: 0, or 2 after printing what is wrong with the arguments.
  int run(int argc, char** argv) const;

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace starling
