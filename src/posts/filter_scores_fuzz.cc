#include "core/fuzz.h"
#include "posts/filter_scores.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  may_be_refused([&] {
    const MarkedText marked = parse_marked(text_of(data, size));
    for (const MarkedText::Span& span : marked.spans)
      if (span.begin > span.end || span.end > marked.text.size()) std::abort();
  });
  return 0;
}
