#include <nlohmann/json.hpp>

#include "core/fuzz.h"
#include "infer/json_schema.h"
#include "infer/walk_grammar.h"

// A schema as the server takes it (no deeper than its bodies), a NUL, then which of its texts to write: that must be
// JSON.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  constexpr int kMaxDepth = 32;
  const std::string_view input = text_of(data, size);
  const size_t border = std::min(input.find('\0'), input.size());
  const auto shallow = [](int depth, nlohmann::ordered_json::parse_event_t, nlohmann::ordered_json&) {
    if (depth > kMaxDepth) throw DataError("too deep");
    return true;
  };
  may_be_refused([&] {
    const auto schema = nlohmann::ordered_json::parse(input.substr(0, border), shallow, false);
    if (schema.is_discarded()) return;
    const std::string text = walk_grammar(json_schema_grammar(schema), input.substr(border));
    if (!text.empty() && !nlohmann::json::accept(text)) std::abort();
  });
  return 0;
}
