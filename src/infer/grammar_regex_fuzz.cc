#include "core/fuzz.h"
#include "infer/grammar_regex.h"
#include "infer/walk_grammar.h"

// A pattern, a NUL, then which of its texts to write: the pattern must match that.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  const std::string_view input = text_of(data, size);
  const size_t border = std::min(input.find('\0'), input.size());
  may_be_refused([&] {
    const CharacterNfa nfa = parse_regex(input.substr(0, border));
    Grammar grammar;
    const Grammar::Rule root = grammar.declare_rule();
    const Grammar::Node start = grammar.add_node();
    grammar.define_rule(root, start, add_nfa(grammar, start, nfa, false));
    grammar.finish(root);
    const std::string text = walk_grammar(std::make_shared<const Grammar>(std::move(grammar)), input.substr(border));
    if (!text.empty() && !nfa.matches(to_characters(text))) std::abort();
  });
  return 0;
}
