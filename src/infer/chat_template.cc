#include "infer/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"

namespace starling {
namespace {

constexpr std::array kRoles = {"system", "user", "assistant", "tool"};
constexpr std::string_view kSpaces = " \t\n\r\f\v";

const std::vector<std::string>& role_marks() {
  static const std::vector<std::string> marks{"<|", "|>"};
  return marks;
}

// A special or marker token, or one of the model's own.
struct FoundToken {
  size_t at = std::string_view::npos, size = 0;
  TokenId id = 0;
};

FoundToken first_token(std::string_view text, const Tokenizer& tokenizer, TextEnds ends) {
  FoundToken first;
  const auto look_for = [&](std::string_view spelled, TokenId id) {
    const size_t at = spelled.empty() ? std::string_view::npos : text.find(spelled);
    if (at < first.at) first = {at, spelled.size(), id};
  };
  look_for(std::string_view(&ChatTemplate::kBeginMark, 1), ends.begin);
  look_for(std::string_view(&ChatTemplate::kEndMark, 1), ends.end);
  for (const auto* tokens : {&tokenizer.special_tokens(), &tokenizer.marker_tokens()})
    for (const SpecialToken& token : *tokens) look_for(token.text, token.id);
  return first;
}

// A prompt grows by a template's text and by data.
class PromptWriter {
 public:
  PromptWriter(const Tokenizer& tokenizer, const ChatTemplate& t, TextEnds ends)
      : tokenizer_(tokenizer), template_(t), ends_(ends) {}

  // What comes next follows text that is tokenized already.
  void continue_text() { continues_ = true; }

  void add_token(TokenId id) {
    end_run();
    ids_.push_back(id);
    continues_ = false;
  }
  void add_template(std::string_view text) {
    for (FoundToken token; !text.empty(); text.remove_prefix(token.at + token.size)) {
      token = first_token(text, tokenizer_, ends_);
      run_ += text.substr(0, token.at);
      if (token.at == std::string_view::npos) return;
      add_token(token.id);
    }
  }
  void add_data(std::string_view text) { run_ += without_role_marks(text, template_.marks); }

  std::vector<TokenId> finish() {
    end_run();
    return std::move(ids_);
  }

 private:
  void end_run() {
    if (run_.empty()) return;
    if (continues_ || template_.one_space) tokenizer_.append_continuation(run_, ids_);
    else tokenizer_.append_tokens(run_, ids_);
    run_.clear();
  }

  const Tokenizer& tokenizer_;
  const ChatTemplate& template_;
  TextEnds ends_;
  std::vector<TokenId> ids_;
  std::string run_;  // since the last special token
  bool continues_ = false;
};

std::string_view trimmed(std::string_view text, bool left, bool right) {
  if (left) text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
  if (right) text = text.substr(0, text.find_last_not_of(kSpaces) + 1);
  return text;
}

void check(const std::vector<ChatMessage>& messages) {
  if (messages.empty()) throw ConfigError("chat: there are no messages");
  for (const ChatMessage& message : messages) {
    if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end())
      throw ConfigError(fmt::format("chat: role \"{}\" is not one of {}", message.role, fmt::join(kRoles, ", ")));
  }
}

// A message, and what stands with it.
struct Turn {
  ChatMessage message;
  std::optional<std::string> system = {};  // at its start
  bool lists_tools = false;
  bool first_result = false, last_result = false;  // of those that follow each other
};

bool is_user(const Turn& turn) { return turn.message.role == "user"; }

// The templates that put the system's text into a user's message know one such text, so several become one.
std::vector<Turn> with_system_in_user(const std::vector<ChatMessage>& messages, ChatTemplate::System place) {
  std::vector<Turn> turns;
  std::optional<std::string> system;
  for (const ChatMessage& message : messages) {
    if (message.role == "system") system = system ? *system + "\n\n" + message.content : message.content;
    else turns.push_back({message});
  }
  if (!system) return turns;
  if (std::none_of(turns.begin(), turns.end(), is_user)) turns.insert(turns.begin(), {{"user", ""}});
  if (place == ChatTemplate::System::first_user) std::find_if(turns.begin(), turns.end(), is_user)->system = system;
  else std::find_if(turns.rbegin(), turns.rend(), is_user)->system = system;
  return turns;
}

std::vector<Turn> turns_of(const ChatTemplate& t, const std::vector<ChatMessage>& messages) {
  if (t.system != ChatTemplate::System::turn) return with_system_in_user(messages, t.system);
  std::vector<Turn> turns;
  if (t.default_system && messages.front().role != "system") turns.push_back({{"system", *t.default_system}});
  for (const ChatMessage& message : messages) turns.push_back({message});
  return turns;
}

// Chooses the turn that lists the tools, and adds one where the conversation has none of that kind.
void place_tools(std::vector<Turn>& turns, ToolStyle::Place place) {
  const bool begins_with_system = !turns.empty() && turns.front().message.role == "system";
  if (place == ToolStyle::Place::system_end) {
    if (!begins_with_system) turns.insert(turns.begin(), {{"system", ""}});
    turns.front().lists_tools = true;
    return;
  }
  if (std::none_of(turns.begin(), turns.end(), is_user))
    turns.insert(turns.begin() + (begins_with_system ? 1 : 0), {{"user", ""}});
  if (place == ToolStyle::Place::first_user) std::find_if(turns.begin(), turns.end(), is_user)->lists_tools = true;
  else std::find_if(turns.rbegin(), turns.rend(), is_user)->lists_tools = true;
}

void mark_results(std::vector<Turn>& turns) {
  const auto is_result = [&](size_t i) { return i < turns.size() && turns[i].message.role == "tool"; };
  for (size_t i = 0; i < turns.size(); ++i) {
    turns[i].first_result = is_result(i) && !(i > 0 && is_result(i - 1));
    turns[i].last_result = is_result(i) && !is_result(i + 1);
  }
}

// Writes the turns of a conversation.
class TurnWriter {
 public:
  TurnWriter(PromptWriter& prompt, const ChatTemplate& t, const std::vector<std::string>& tools)
      : prompt_(prompt), template_(t), tools_(tools) {}

  void add(const Turn& turn) {
    const std::string& role = turn.message.role;
    if (role == "system") add_system(turn);
    else if (role == "assistant") add_assistant(turn.message);
    else if (role == "tool") add_result(turn);
    else add_user(turn);
    first_ = false;
  }

 private:
  void add_system(const Turn& turn) {
    prompt_.add_template(template_.system_open);
    if (first_ && !tools_.empty()) prompt_.add_template(template_.tools->first_system_text);
    if (first_) prompt_.add_template(template_.first_system_text);
    prompt_.add_data(trimmed(turn.message.content, template_.trims_system, template_.trims_system));
    if (turn.lists_tools) add_tools();
    prompt_.add_template(template_.system_close);
  }
  void add_user(const Turn& turn) {
    const bool before = turn.lists_tools && template_.tools->place == ToolStyle::Place::before_last_user;
    if (before) add_tools();
    prompt_.add_template(template_.user_open);
    if (turn.system) {
      prompt_.add_template(template_.system_open);
      prompt_.add_data(*turn.system);
      prompt_.add_template(template_.system_close);
    }
    if (turn.lists_tools && !before) add_tools();
    prompt_.add_data(trimmed(turn.message.content, template_.trims_user && !turn.system, template_.trims_user));
    prompt_.add_template(template_.user_close);
  }
  void add_assistant(const ChatMessage& message) {
    const bool calls = !message.calls.empty();
    prompt_.add_template(template_.assistant_open);
    if (!calls) prompt_.add_template(template_.answer_open);
    if (!calls || template_.tools->keeps_text)
      prompt_.add_data(trimmed(message.content, template_.trims_assistant, template_.trims_assistant));
    if (calls) add_calls(message);
    prompt_.add_template(template_.answer_close + template_.assistant_close);
  }
  void add_calls(const ChatMessage& message) {
    const ToolStyle& style = *template_.tools;
    if (style.keeps_text && !message.content.empty()) prompt_.add_template(style.calls_between);
    prompt_.add_template(style.calls_open);
    for (const ToolCall& call : message.calls) {
      if (&call != &message.calls.front()) prompt_.add_template(style.calls_between);
      prompt_.add_template(style.call_open);
      prompt_.add_data(call.name);
      prompt_.add_template(style.call_middle);
      prompt_.add_data(spaced_json(call.arguments));
      if (!style.call_id.empty()) {
        prompt_.add_template(style.call_id);
        prompt_.add_data(short_call_id(call.id));
        prompt_.add_template("\"");
      }
      prompt_.add_template(style.call_close);
    }
    prompt_.add_template(style.calls_close);
  }
  void add_result(const Turn& turn) {
    const ToolStyle& style = *template_.tools;
    if (turn.first_result) prompt_.add_template(style.results_open);
    prompt_.add_template(style.result_open);
    const std::string& content = turn.message.content;
    prompt_.add_data(style.quotes_results ? dump_json_lossy(nlohmann::json(content)) : content);
    if (!style.result_id.empty()) {
      prompt_.add_template(style.result_id);
      prompt_.add_data(short_call_id(turn.message.call_id));
    }
    prompt_.add_template(style.result_close);
    if (turn.last_result) prompt_.add_template(style.results_close);
  }
  void add_tools() {
    const ToolStyle& style = *template_.tools;
    constexpr int kIndent = 4;
    prompt_.add_template(style.tools_open);
    for (const std::string& tool : tools_) {
      if (&tool != &tools_.front()) prompt_.add_template(style.tools_between);
      prompt_.add_data(style.indented ? dump_json_lossy(parse_ordered_json(tool), kIndent) : spaced_json(tool));
    }
    prompt_.add_template(style.tools_close);
  }

  PromptWriter& prompt_;
  const ChatTemplate& template_;
  const std::vector<std::string>& tools_;
  bool first_ = true;
};

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
  std::vector<TokenId> ids = tokenizer.opening_tokens(begin_token);
  tokenizer.append_tokens(text + "assistant:", ids);
  return ids;
}

// ---- the templates

std::string begin_mark() { return {ChatTemplate::kBeginMark}; }
std::string end_mark() { return {ChatTemplate::kEndMark}; }

class Jinja {
 public:
  explicit Jinja(std::string_view text) : text_(text) {}
  bool has(std::string_view mark) const { return text_.find(mark) != std::string_view::npos; }
  // The text between two marks where it stands whole in the template, not put together from parts.
  std::optional<std::string> literal(std::string_view open, std::string_view close) const {
    for (size_t at = text_.find(open); at != std::string_view::npos; at = text_.find(open, at + 1)) {
      const std::string_view rest = text_.substr(at + open.size());
      const size_t end = rest.find(close);
      if (end != std::string_view::npos && rest.substr(0, end).find_first_of("'\"{}\\") == std::string_view::npos)
        return std::string(rest.substr(0, end));
    }
    return std::nullopt;
  }
  // A template that writes the begin token itself says so; before others stands what opens any text.
  std::optional<std::string> start() const { return has("bos_token") ? std::optional(begin_mark()) : std::nullopt; }

 private:
  std::string_view text_;
};

// Every message the same but for its role's name.
ChatTemplate with_role_names(const std::string& open, const std::string& middle, const std::string& end,
                             const std::string& gap) {
  ChatTemplate t;
  t.system_open = open + "system" + middle, t.system_close = end + gap;
  t.user_open = open + "user" + middle, t.user_close = end + gap;
  t.assistant_open = open + "assistant" + middle, t.answer_close = end, t.assistant_close = gap;
  t.marks = role_marks();
  return t;
}

ChatTemplate chatml(const Jinja& jinja) {
  ChatTemplate t = with_role_names("<|im_start|>", "\n", "<|im_end|>", "\n");
  t.name = "chatml";
  t.start = jinja.start();
  t.default_system = jinja.literal("<|im_start|>system\\n", "<|im_end|>");  // Jinja writes a line end as \n
  return t;
}

ChatTemplate zephyr(const Jinja& jinja) {
  ChatTemplate t = with_role_names("<|", "|>\n", end_mark(), "\n");
  t.name = "zephyr";
  t.start = jinja.start();
  return t;
}

// From 3.1 on a system message says dates. Today's is the one that the template falls back on: the same prompt has the
// same tokens every day.
ChatTemplate llama3(const Jinja& jinja) {
  ChatTemplate t = with_role_names("<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", "");
  t.name = "llama3";
  t.start = begin_mark();
  t.trims_system = t.trims_user = t.trims_assistant = true;
  if (jinja.has("Cutting Knowledge Date: December 2023")) {
    t.first_system_text = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
    t.default_system = "";
  }
  return t;
}

const std::vector<std::string>& instruction_marks() {
  static const std::vector<std::string> marks{"[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"};
  return marks;
}

ChatTemplate llama2() {
  return {.name = "llama2",
          .start = "",
          .system = ChatTemplate::System::first_user,
          .system_open = "<<SYS>>\n",
          .system_close = "\n<</SYS>>\n\n",
          .user_open = begin_mark() + "[INST] ",
          .user_close = " [/INST]",
          .answer_open = " ",
          .answer_close = " " + end_mark(),
          .trims_user = true,
          .trims_assistant = true,
          .marks = instruction_marks()};
}

// Mistral's spaces differ from version to version; the template's text shows which it has.
ChatTemplate mistral(const Jinja& jinja) {
  const bool space_before = jinja.has("' [INST] '") || jinja.has("\" [INST] \"");
  const bool space_after = jinja.has("[INST] "), space_at_end = jinja.has(" [/INST]");
  ChatTemplate t{.start = begin_mark(), .system_close = "\n\n", .marks = instruction_marks()};
  t.user_open = std::string(space_before ? " " : "") + "[INST]" + (space_after ? " " : "");
  t.user_close = space_at_end ? " [/INST]" : "[/INST]";
  t.answer_close = end_mark();
  if (space_before || (space_after && !space_at_end)) t.answer_open = " ";
  t.name = !space_after ? "mistral-tekken" : space_at_end ? "mistral-v1" : "mistral-v3";
  t.system =
      jinja.has("loop.last and system_message") ? ChatTemplate::System::last_user : ChatTemplate::System::first_user;
  t.trims_assistant = jinja.has("|trim");
  t.one_space = t.name == "mistral-v3";
  if (jinja.has("eos_token + ' '")) t.assistant_close = " ";
  return t;
}

// A system's message stands by itself. The default one of some models tells today's date and is not written.
ChatTemplate mistral_v7(const Jinja& jinja) {
  const std::string gap = jinja.has("[SYSTEM_PROMPT] ") ? " " : "";
  ChatTemplate t{.name = gap.empty() ? "mistral-v7-tekken" : "mistral-v7",
                 .start = begin_mark(),
                 .system_open = "[SYSTEM_PROMPT]" + gap,
                 .system_close = "[/SYSTEM_PROMPT]",
                 .user_open = "[INST]" + gap,
                 .user_close = "[/INST]",
                 .answer_open = gap,
                 .answer_close = end_mark(),
                 .one_space = !gap.empty(),
                 .marks = instruction_marks()};
  t.marks.insert(t.marks.end(), {"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"});
  return t;
}

// A text, or a list of them with names.
std::string template_text(const nlohmann::json& tokenizer_config) {
  const auto found = tokenizer_config.find("chat_template");
  if (found == tokenizer_config.end()) return {};
  if (found->is_string()) return *found;
  for (const nlohmann::json& named : found->is_array() ? *found : nlohmann::json::array())
    if (named.is_object() && named.value("name", nlohmann::json()) == "default" &&
        named.value("template", nlohmann::json()).is_string())
      return named.at("template");
  return {};
}

// What a conversation looks like; the tools in it are recognised apart.
std::optional<ChatTemplate> recognise_conversation(const Jinja& jinja) {
  if (jinja.has("<|im_start|>") && jinja.has("<|im_end|>") && !jinja.has("<|im_sep|>")) return chatml(jinja);
  if (jinja.has("<|start_header_id|>") && jinja.has("<|end_header_id|>") && jinja.has("<|eot_id|>"))
    return llama3(jinja);
  const bool instructs = jinja.has("[INST]") && jinja.has("[/INST]");
  if (instructs && jinja.has("[SYSTEM_PROMPT]") && !jinja.has("[THINK]") && !jinja.has("[MODEL_SETTINGS]"))
    return mistral_v7(jinja);
  if (instructs && !jinja.has("[SYSTEM_PROMPT]")) return jinja.has("<<SYS>>") ? llama2() : mistral(jinja);
  if (jinja.has("<|user|>") && jinja.has("<|assistant|>") && !jinja.has("<|end|>")) return zephyr(jinja);
  return std::nullopt;
}

}  // namespace

std::optional<ChatTemplate> recognise_chat_template(std::string_view text) {
  std::optional<ChatTemplate> found = recognise_conversation(Jinja(text));
  if (!found) return found;
  found->tools = recognise_tool_style(found->name, text);
  if (found->tools) found->marks.insert(found->marks.end(), found->tools->marks.begin(), found->tools->marks.end());
  return found;
}

std::string chat_template_text(const std::filesystem::path& folder) {
  if (const std::filesystem::path jinja = folder / kChatTemplateFile; std::filesystem::exists(jinja))
    return read_file(jinja);
  const std::filesystem::path path = folder / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return {};
  const nlohmann::json json = try_parse_json(read_file(path));
  if (!json.is_object()) throw DataError(fmt::format("{}: not a JSON object", path.string()));
  return template_text(json);
}

std::optional<ChatTemplate> load_chat_template(const std::filesystem::path& folder) {
  return recognise_chat_template(chat_template_text(folder));
}

std::string without_role_marks(std::string_view text, std::span<const std::string> marks) {
  std::string broken;
  for (size_t i = 0; i < text.size(); ++i) {
    broken += text[i];
    const auto begins = [&](const std::string& mark) { return text.substr(i).starts_with(mark); };
    if (std::any_of(marks.begin(), marks.end(), begins)) broken += ' ';
  }
  return broken;
}

std::string without_role_marks(std::string_view text) { return without_role_marks(text, role_marks()); }

std::vector<TokenId> encode_chat(const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat_template,
                                 const std::vector<ChatMessage>& messages, TextEnds ends,
                                 const std::vector<std::string>& tools) {
  check(messages);
  if (!chat_template) return encode_lines(tokenizer, in_own_words(messages, tools), ends.begin);
  const ChatTemplate& t = *chat_template;
  std::vector<Turn> turns = turns_of(t, t.tools ? messages : in_own_words(messages, tools));
  if (t.tools && !tools.empty()) place_tools(turns, t.tools->place);
  mark_results(turns);
  PromptWriter prompt(tokenizer, t, ends);
  if (t.start) prompt.add_template(*t.start);
  else
    for (const TokenId id : tokenizer.opening_tokens(ends.begin)) prompt.add_token(id);
  static const std::vector<std::string> kNone;
  TurnWriter writer(prompt, t, t.tools ? tools : kNone);
  for (const Turn& turn : turns) writer.add(turn);
  prompt.add_template(t.assistant_open);
  return prompt.finish();
}

std::vector<TokenId> encode_answer(const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat_template,
                                   const std::string& answer, TextEnds ends) {
  if (!chat_template) {  // the prompt ends with "assistant:"
    std::vector<TokenId> ids = tokenizer.encode_continuation(" " + without_role_marks(answer));
    ids.push_back(ends.end);
    return ids;
  }
  const ChatTemplate& t = *chat_template;
  PromptWriter written(tokenizer, t, ends);
  written.continue_text();
  written.add_template(t.answer_open);
  written.add_data(trimmed(answer, t.trims_assistant, t.trims_assistant));
  const std::string_view close = t.answer_close;
  const FoundToken end = first_token(close, tokenizer, ends);
  written.add_template(close.substr(0, end.at));
  written.add_token(end_of_turn(tokenizer, chat_template, ends));
  return written.finish();
}

TokenId end_of_turn(const Tokenizer& tokenizer, const std::optional<ChatTemplate>& chat_template, TextEnds ends) {
  if (!chat_template) return ends.end;
  const FoundToken found = first_token(chat_template->answer_close, tokenizer, ends);
  return found.at == std::string_view::npos ? ends.end : found.id;
}

}  // namespace starling
