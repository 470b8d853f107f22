#include "core/fuzz.h"
#include "train/card_section.h"

// A card, a NUL, then the body. A section that is written again, with a body that begins no section, changes nothing.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  const std::string_view input = text_of(data, size);
  const size_t border = std::min(input.find('\0'), input.size());
  const std::string_view card = input.substr(0, border), body = input.substr(border);
  const std::string once = with_section(card, "Measured", body);
  const bool begins_section = body.find("\n## ") != std::string_view::npos;
  if (with_section(once, "Measured", body) != once && !begins_section) std::abort();
  return 0;
}
