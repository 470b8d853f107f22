#include "core/fuzz.h"
#include "train/lineage.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  const FuzzFile file(text_of(data, size));
  may_be_refused([&] { SeenIds::load(file.path()).contains("post", "1"); });
  may_be_refused([&] { SeenIds::contains(file.path(), "post", "1"); });
  return 0;
}
