#include "core/fuzz.h"
#include "tokenizer/tokenizer.h"

// The file, a NUL, then a text to encode with it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  const std::string_view input = text_of(data, size);
  const size_t border = std::min(input.find('\0'), input.size());
  const FuzzFile file(input.substr(0, border));
  may_be_refused([&] {
    const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(file.path());
    for (const std::string_view text : {input.substr(border), std::string_view("Hello, w\xc3\xb6rld 123!  a\n")}) {
      const std::vector<TokenId> ids = tokenizer->encode(text);
      for (const TokenId id : ids)
        if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
      tokenizer->decode(ids);
    }
  });
  return 0;
}
