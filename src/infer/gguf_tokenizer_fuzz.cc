#include "core/fuzz.h"
#include "infer/gguf_tokenizer.h"

// A vocabulary that is taken encodes text, and one of byte level is the same after it was saved and loaded (of pieces
// with equal scores, the order is not kept).
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  const FuzzFile file(text_of(data, size));
  static const FuzzFolder folder;
  may_be_refused([&] {
    const GgufFile gguf(file.path());
    ModelConfig config;
    config.bos_token = gguf_begin_token(gguf);
    config.eos_token = gguf_end_token(gguf);
    const auto tokenizer = read_gguf_tokenizer(gguf, config);
    const std::string text = "The cat's 1234 caf\u00E9s <s>\n\n  \u732B\xFF";
    const std::vector<TokenId> ids = tokenizer->encode(text);
    for (const TokenId id : ids) tokenizer->token_bytes(id);
    tokenizer->save(folder.path() / "tokenizer.json");
    const auto loaded = Tokenizer::load(folder.path() / "tokenizer.json");
    if (gguf.text("tokenizer.ggml.model") == "gpt2" && loaded->encode(text) != ids) std::abort();
  });
  return 0;
}
