#include "core/fuzz.h"
#include "search/query.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  may_be_refused([&] { parse_query(text_of(data, size)).text(); });
  plain_query(text_of(data, size)).text();  // takes any text
  return 0;
}
