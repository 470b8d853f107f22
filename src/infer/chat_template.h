// Chat prompts. A template is recognised by its marks, never run: the Jinja text of a model is a program from
// elsewhere. What a message holds is data: the tokenizer makes no special token of it, and marks that are ordinary text
// to a tokenizer ("<|user|>" in TinyLlama, "[INST]" in Llama 2) are broken up by a space. Text between two special
// tokens is tokenized in one piece, as Hugging Face's library does with the whole prompt.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/engine.h"
#include "infer/tool_style.h"

namespace starling {

// Of config.json.
struct TextEnds {
  TokenId begin = 1, end = 2;
};

// In the template's own text the text of a special token becomes that token, kBeginMark and kEndMark the model's.
struct ChatTemplate {
  static constexpr char kBeginMark = '\1', kEndMark = '\2';
  enum class System { turn, first_user, last_user };  // a message of its own, or at the start of a user's

  std::string name;
  std::optional<std::string> start;  // of the prompt; not given: what opens any text
  System system = System::turn;
  std::string system_open, system_close, user_open, user_close;
  std::string assistant_open;                 // a prompt ends with it
  std::string answer_open, answer_close;      // the assistant writes these itself; the last token ends its turn
  std::string assistant_close;                // before the next message
  std::string first_system_text;              // the first message begins with it when it is a system's
  std::optional<std::string> default_system;  // the first message when it is not a system's
  bool trims_system = false, trims_user = false, trims_assistant = false;
  bool one_space = false;          // SentencePiece's space before a text after a special token is the template's own
  std::vector<std::string> marks;  // broken in messages
  std::optional<ToolStyle> tools;  // not given: it is told of them in our own words
};

// From the chat_template of tokenizer_config.json; nothing for one that is not known: zephyr, chatml, llama2, llama3,
// mistral-v1, mistral-v3, mistral-tekken, mistral-v7, mistral-v7-tekken (docs/formats/models.md).
std::optional<ChatTemplate> recognise_chat_template(std::string_view jinja);

// A model's template in a file of its own, as newer Hugging Face folders have it.
inline constexpr const char* kChatTemplateFile = "chat_template.jinja";

// Of a model folder's kChatTemplateFile or tokenizer_config.json; empty when there is none. Throws DataError for a
// damaged one.
std::string chat_template_text(const std::filesystem::path& model_folder);
// Recognised.
std::optional<ChatTemplate> load_chat_template(const std::filesystem::path& model_folder);

// `tools` are those that the assistant may call, see Engine::tool_prompt. Throws ConfigError for a role other than
// system, user, assistant, tool, and for an empty list.
std::vector<TokenId> encode_chat(const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat_template,
                                 const std::vector<ChatMessage>& messages, TextEnds ends,
                                 const std::vector<std::string>& tools = {});

// What the assistant says after such a prompt, with the token that ends its turn: what fine-tuning learns.
std::vector<TokenId> encode_answer(const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat_template,
                                   const std::string& answer, TextEnds ends);

// The token that ends the assistant's turn.
TokenId end_of_turn(const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat_template, TextEnds ends);

// Every mark broken by a space after its first character: no tokenization of the result can equal a template's.
std::string without_role_marks(std::string_view text, std::span<const std::string> marks);
std::string without_role_marks(std::string_view text);  // "<|" and "|>"

}  // namespace starling
