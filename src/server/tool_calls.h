// Tools of a chat: described to the model in the system message, called by it in a fixed form, which a grammar
// enforces:
//   <tool_call>\n{"name":"NAME","arguments":ARGUMENTS}\n</tool_call>
// One call an answer.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "infer/grammar.h"

namespace starling {

struct Tool {
  std::string name, description;
  nlohmann::ordered_json parameters;  // a schema of an object
};

struct Tools {
  enum class Choice { none, may, must };
  std::vector<Tool> tools;  // that may be called: of a named one only that
  Choice choice = Choice::none;

  // From the body's `tools` and `tool_choice`. Throws HttpError 400 that names the field.
  static Tools read(const nlohmann::ordered_json& body);
  std::string instructions() const;                // for the system message
  std::shared_ptr<const Grammar> grammar() const;  // a call, or with `may` a text that is none. Throws ConfigError
  std::string source() const;                      // all that the grammar is made of
};

// A call in the form above, as an earlier answer of the assistant.
std::string tool_call_text(const std::string& name, const std::string& arguments);

// Reads an answer piece by piece.
class ToolCallReader {
 public:
  struct Part {
    std::string content;    // text of an answer that is no call
    std::string name;       // set once, when a call's name is known
    std::string arguments;  // the next characters of its arguments
  };
  Part push(std::string_view piece);
  Part finish();  // what was held back
  bool is_call() const { return state_ == State::arguments; }

 private:
  enum class State { undecided, text, name, arguments };
  Part advance(bool at_end);
  State state_ = State::undecided;
  std::string held_;
};

}  // namespace starling
