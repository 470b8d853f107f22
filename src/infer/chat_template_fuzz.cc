#include "core/fuzz.h"
#include "core/json.h"
#include "infer/chat_template.h"
#include "infer/test_model.h"

namespace {

// A conversation in which the input is what is said, a tool, the arguments of its call and what it gave.
int count_specials(const starling::Tokenizer& tokenizer, const char* jinja, const std::string& said, bool tools) {
  using namespace starling;
  std::vector<ChatMessage> messages = {{"user", said}};
  if (tools) messages.insert(messages.end(), {{"assistant", said, {{said, said, said}}}, {"tool", said, {}, said}});
  const std::string tool =
      dump_json_lossy(nlohmann::json{{"type", "function"}, {"function", {{"name", said}, {"description", said}}}});
  int count = 0;
  for (const TokenId id : encode_chat(tokenizer, recognise_chat_template(jinja), messages, {},
                                      tools ? std::vector<std::string>{tool} : std::vector<std::string>{}))
    count += tokenizer.token_bytes(id).empty();
  return count;
}

}  // namespace

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
  may_be_refused([&] { encode_chat(*tokenizer, {}, {{"user", ""}}, {}, {std::string(input)}); });
  for (const char* jinja :
       {"", "<|im_start|><|im_end|>", "<|user|><|assistant|>", "<|start_header_id|><|end_header_id|><|eot_id|>",
        "[INST] <<SYS>>[/INST]", "' [INST] ' [/INST]", "[INST] [/INST]'loop.last and system_message'", "[INST][/INST]",
        "<|im_start|><|im_end|>\\n\\n# Tools\\n\\nYou may call one or more functions<tool_response>",
        "<|start_header_id|><|end_header_id|><|eot_id|>Environment: ipython Given the following functions",
        "[INST] text[/INST]'loop.last and system_message'[AVAILABLE_TOOLS][TOOL_CALLS] [TOOL_RESULTS]"}) {
    may_be_refused([&] { encode_chat(*tokenizer, recognise_chat_template(jinja), {given}, {}); });
    for (const bool tools : {false, true})
      may_be_refused([&] {
        const int specials = count_specials(*tokenizer, jinja, std::string(input), tools);
        if (specials != count_specials(*tokenizer, jinja, tools ? "{}" : "", tools)) std::abort();
      });
  }
  return 0;
}
