#include "infer/chat_template.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"

namespace starling {
namespace {

// Appends the template's own text: special tokens where their text stands, ordinary pieces between.
void append_template(std::vector<TokenId>& ids, const Tokenizer& tokenizer, std::string_view text) {
  while (!text.empty()) {
    size_t at = text.size();
    const SpecialToken* next = nullptr;
    for (const SpecialToken& special : tokenizer.special_tokens()) {
      const size_t found = special.text.empty() ? std::string_view::npos : text.find(special.text);
      if (found < at) {
        at = found;
        next = &special;
      }
    }
    if (at > 0) {
      const std::vector<TokenId> piece = tokenizer.encode(text.substr(0, at));
      ids.insert(ids.end(), piece.begin(), piece.end());
    }
    if (next == nullptr) return;
    ids.push_back(next->id);
    text.remove_prefix(at + next->text.size());
  }
}

void append_data(std::vector<TokenId>& ids, const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<TokenId> piece = tokenizer.encode_continuation(without_role_marks(text));
  ids.insert(ids.end(), piece.begin(), piece.end());
}

void check(const std::vector<ChatMessage>& messages) {
  if (messages.empty()) throw ConfigError("chat: there are no messages");
  for (const ChatMessage& message : messages) {
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      throw ConfigError(fmt::format("chat: role \"{}\" is not system, user or assistant", message.role));
    }
  }
}

// "role: content" lines; a line end inside a message could begin a line of another role, so it becomes a space.
std::vector<TokenId> encode_lines(const Tokenizer& tokenizer, const std::vector<ChatMessage>& messages,
                                  TokenId begin_token) {
  std::string text;
  for (const ChatMessage& message : messages) {
    std::string content = message.content;
    std::replace_if(
        content.begin(), content.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    text += message.role + ": " + content + "\n";
  }
  std::vector<TokenId> ids{begin_token};
  const std::vector<TokenId> body = tokenizer.encode(text + "assistant:");
  ids.insert(ids.end(), body.begin(), body.end());
  return ids;
}

}  // namespace

std::optional<ChatTemplate> recognise_chat_template(std::string_view jinja) {
  const auto has = [&](std::string_view mark) { return jinja.find(mark) != std::string_view::npos; };
  if (has("<|im_start|>") && has("<|im_end|>")) return ChatTemplate{"chatml", "<|im_start|>", "\n", "<|im_end|>\n"};
  if (has("<|user|>") && has("<|assistant|>")) return ChatTemplate{"zephyr", "<|", "|>\n", "</s>\n"};
  return std::nullopt;
}

std::optional<ChatTemplate> load_chat_template(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const nlohmann::json json = try_parse_json(read_file(path));
  if (!json.is_object()) throw DataError(fmt::format("{}: not a JSON object", path.string()));
  const auto found = json.find("chat_template");
  return found != json.end() && found->is_string() ? recognise_chat_template(found->get<std::string>()) : std::nullopt;
}

std::string without_role_marks(std::string_view text) {
  std::string broken;
  for (size_t i = 0; i < text.size(); ++i) {
    broken += text[i];
    const std::string_view pair = text.substr(i, 2);
    if (pair == "<|" || pair == "|>") broken += ' ';
  }
  return broken;
}

std::vector<TokenId> encode_chat(const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat_template,
                                 const std::vector<ChatMessage>& messages, TokenId begin_token) {
  check(messages);
  if (!chat_template) return encode_lines(tokenizer, messages, begin_token);
  const ChatTemplate& t = *chat_template;
  std::vector<TokenId> ids{begin_token};
  std::string between;  // template text since the last message, tokenized in one piece
  for (const ChatMessage& message : messages) {
    append_template(ids, tokenizer, between + t.open + message.role + t.middle);
    append_data(ids, tokenizer, message.content);
    between = t.close;
  }
  append_template(ids, tokenizer, between + t.open + "assistant" + t.middle);
  return ids;
}

}  // namespace starling
