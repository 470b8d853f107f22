#include "core/fuzz.h"
#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  const FuzzFile file(text_of(data, size));
  may_be_refused([&] {
    const ModelConfig config = ModelConfig::load(file.path());
    config.parameter_count();
    config.head_size();
  });
  return 0;
}
