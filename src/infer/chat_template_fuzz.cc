#include "core/fuzz.h"
#include "infer/chat_template.h"
#include "infer/test_model.h"

// A message's role and content, before and after a NUL: no control token may come out of them.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;
  static const TestModel model;
  static const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(model.folder() / "tokenizer.json");
  const std::string_view input = text_of(data, size);
  recognise_chat_template(input);
  static const FuzzFolder folder;
  folder.write("tokenizer_config.json", input);
  may_be_refused([&] { load_chat_template(folder.path()); });

  const size_t border = std::min(input.find('\0'), input.size());
  const ChatMessage given{std::string(input.substr(0, border)), std::string(input.substr(border))};
  for (const char* jinja : {"", "<|im_start|><|im_end|>", "<|user|><|assistant|>",
                            "<|start_header_id|><|end_header_id|><|eot_id|>", "[INST] <<SYS>>[/INST]",
                            "' [INST] ' [/INST]", "[INST] [/INST]'loop.last and system_message'", "[INST][/INST]"}) {
    may_be_refused([&] { encode_chat(*tokenizer, recognise_chat_template(jinja), {given}, {}); });
    const auto specials = [&](const std::string& content) {
      int count = 0;
      for (const TokenId id : encode_chat(*tokenizer, recognise_chat_template(jinja), {{"user", content}}, {}))
        count += tokenizer->token_bytes(id).empty();
      return count;
    };
    if (specials(std::string(input)) != specials("")) std::abort();
  }
  return 0;
}
