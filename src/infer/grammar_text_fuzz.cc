#include "core/fuzz.h"
#include "infer/grammar_text.h"
#include "infer/walk_grammar.h"

// A grammar, a NUL, then which of its texts to write.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  const std::string_view input = text_of(data, size);
  const size_t border = std::min(input.find('\0'), input.size());
  may_be_refused([&] { walk_grammar(parse_grammar(input.substr(0, border)), input.substr(border)); });
  return 0;
}
