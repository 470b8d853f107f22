#include "core/fuzz.h"
#include "server/http.h"
#include "server/json_body.h"

// A request's target.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  Request request;
  may_be_refused([&] {
    parse_target(text_of(data, size), request);
    for (const std::string& segment : request.path)
      if (!is_utf8(segment)) std::abort();
    query_integer(request, "limit", 10, 1, 100);
  });
  return 0;
}
