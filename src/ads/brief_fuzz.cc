#include "ads/brief.h"
#include "core/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  std::string_view input = text_of(data, size);
  const uint8_t choice = take_choice(input);
  may_be_refused([&] { choice % 2 == 0 ? brief_from_toml(input, "brief") : brief_from_json(input); });
  return 0;
}
