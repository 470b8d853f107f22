// Tools of a chat: the model is told of them in the prompt, and calls them in its own form (ToolForm), which a grammar
// enforces. One call an answer.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "infer/engine.h"
#include "infer/grammar.h"

namespace starling {

struct Tool {
  std::string name;
  nlohmann::ordered_json parameters;  // a schema of an object
  std::string json;                   // all of it, as the client gave it
};

struct Tools {
  enum class Choice { none, may, must };
  std::vector<Tool> tools;  // that may be called: of a named one only that
  Choice choice = Choice::none;
  bool named = false;  // `tool_choice` names the one that must be called

  // From the body's `tools` and `tool_choice`. Throws HttpError 400 that names the field.
  static Tools read(const nlohmann::ordered_json& body);
  std::vector<std::string> listing() const;  // what the model is told of: each tool's JSON; with `none` nothing
  // A call, or with `may` a text that is none. Throws ConfigError.
  std::shared_ptr<const Grammar> grammar(const ToolForm& form) const;
  std::string source() const;  // all that the grammar of one model is made of
};

// Special tokens of the model that the form begins with: they are text in its answers, and do not end them.
std::vector<SpecialToken> spelled_tokens(const Tokenizer& tokenizer, const ToolForm& form);

// Reads an answer piece by piece.
class ToolCallReader {
 public:
  explicit ToolCallReader(ToolForm form) : form_(std::move(form)) {}

  struct Part {
    std::string content;    // text of an answer that is no call
    std::string name;       // set once, when a call's name is known
    std::string arguments;  // the next whole characters of its arguments
  };
  Part push(std::string_view piece);
  Part finish();  // what was held back; a call without arguments yet is text
  bool is_call() const { return state_ == State::arguments; }

 private:
  enum class State { undecided, text, arguments };
  Part advance(bool at_end);
  ToolForm form_;
  State state_ = State::undecided;
  std::string held_;  // then the call's arguments, of which given_ characters have been passed on
  size_t given_ = 0;
};

}  // namespace starling
