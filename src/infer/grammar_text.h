// Grammars as text, in the form that llama.cpp calls GBNF:
//   root ::= "yes" | "no" | list          # a comment
//   list ::= "[" item ("," item){0,4} "]"
//   item ::= [a-z0-9]+ | [^"\n]?
// The language is the rule `root`. Literals and classes take \n \r \t \\ \" \] \xHH \uHHHH. A rule may use itself, but
// not as its own beginning.
#pragma once

#include <memory>
#include <string_view>

#include "infer/grammar.h"

namespace starling {

// Throws ConfigError with line and column.
std::shared_ptr<const Grammar> parse_grammar(std::string_view text, const GrammarLimits& limits = {});

}  // namespace starling
