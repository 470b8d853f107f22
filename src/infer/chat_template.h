// Chat prompts. A template is recognised by its marks, never run: the Jinja text of a model is a program from
// elsewhere. Template text and messages are tokenized apart, and what a message holds is data: the tokenizer makes no
// special token of it, and marks that are ordinary text to the tokenizer ("<|user|>" in TinyLlama) are broken up by a
// space.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "infer/engine.h"

namespace starling {

// One message is  open role middle content close;  a prompt ends with  open "assistant" middle.
struct ChatTemplate {
  std::string name;
  std::string open, middle, close;  // a special token's text inside these becomes that token
};

// From the chat_template of tokenizer_config.json; nothing for one that is not known.
//   zephyr: <|user|>\n...</s>\n     chatml: <|im_start|>user\n...<|im_end|>\n
std::optional<ChatTemplate> recognise_chat_template(std::string_view jinja);

// From a model folder's tokenizer_config.json, when there is one. Throws DataError for a damaged one.
std::optional<ChatTemplate> load_chat_template(const std::filesystem::path& model_folder);

// Throws ConfigError for a role other than system, user, assistant, and for an empty list.
std::vector<TokenId> encode_chat(const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat_template,
                                 const std::vector<ChatMessage>& messages, TokenId begin_token);

// "<|" and "|>" broken by a space: no tokenization of the result can equal a template's.
std::string without_role_marks(std::string_view text);

}  // namespace starling
