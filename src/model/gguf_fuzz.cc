#include "core/fuzz.h"
#include "model/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  const FuzzFile file(text_of(data, size));
  may_be_refused([&] {
    const GgufFile gguf(file.path());
    for (const auto& [name, tensor] : gguf.tensors()) {
      const GgufBlock block = gguf_block(tensor.type);
      if (tensor.bytes.empty() || tensor.shape.empty()) continue;
      std::vector<float> values(static_cast<size_t>(block.values));
      decode_gguf_blocks(tensor.type, tensor.bytes.first(static_cast<size_t>(block.bytes)), values);
      decode_gguf_blocks(tensor.type, tensor.bytes.last(static_cast<size_t>(block.bytes)), values);
    }
    may_be_refused([&] { gguf.text("general.architecture"); });
    may_be_refused([&] { gguf.integer("llama.block_count"); });
    may_be_refused([&] { gguf.list<std::string>("tokenizer.ggml.tokens"); });
  });
  return 0;
}
