#include "server/tool_calls.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/json.h"
#include "infer/grammar_regex.h"
#include "infer/json_schema.h"
#include "server/http.h"

namespace starling {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxTools = 64;

HttpError wrong(const std::string& what, const char* field) { return HttpError(400, "invalid_field", what, field); }

bool is_name(const Json& name) {
  if (!name.is_string()) return false;
  const std::string text = name.get<std::string>();
  const auto fits = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; };
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), fits);
}

Tool read_tool(const Json& item) {
  const Json none;
  const Json& function =
      item.is_object() && item.value("type", none) == "function" && item.contains("function") ? item["function"] : none;
  if (!function.is_object() || !function.contains("name") || !is_name(function["name"]))
    throw wrong(
        "a tool is {\"type\":\"function\",\"function\":{\"name\":…}}; a name has at most 64 letters, digits, _ and -",
        "tools");
  Tool tool{.name = function["name"],
            .parameters = Json{{"type", "object"}, {"properties", Json::object()}},
            .json = dump_json(item)};
  if (function.contains("parameters") && !function["parameters"].is_null()) tool.parameters = function["parameters"];
  return tool;
}

void read_choice(const Json& choice, Tools& tools) {
  if (choice == "none") tools.choice = Tools::Choice::none;
  else if (choice == "auto") tools.choice = Tools::Choice::may;
  else if (choice == "required") tools.choice = Tools::Choice::must;
  else {
    const auto named =
        choice.is_object() && choice.contains("function") && choice["function"].is_object()
            ? std::find_if(tools.tools.begin(), tools.tools.end(),
                           [&](const Tool& tool) { return choice["function"].value("name", Json()) == tool.name; })
            : tools.tools.end();
    if (named == tools.tools.end())
      throw wrong(
          "`tool_choice` is none, auto, required or {\"type\":\"function\",\"function\":{\"name\":one of the tools}}",
          "tool_choice");
    tools.tools = {*named};
    tools.choice = Tools::Choice::must;
    tools.named = true;
  }
}

// Any text that does not begin as a call does, by the character `call`; a model may begin its answer with a space.
void append_plain_text(Grammar& grammar, Grammar::Node from, Grammar::Node end, char call) {
  const auto but = [](std::vector<std::pair<char32_t, char32_t>> without) {
    return CharacterSet(std::move(without)).complement();
  };
  const auto first = static_cast<char32_t>(call);
  const Grammar::Node space = grammar.add_node(), rest = grammar.add_node();
  add_characters(grammar, from, but({{first, first}, {' ', ' '}}), rest, false);
  grammar.add_bytes(from, ' ', ' ', space);
  add_characters(grammar, space, but({{first, first}}), rest, false);
  add_characters(grammar, rest, CharacterSet::any(), rest, false);
  for (const Grammar::Node node : {from, space, rest}) grammar.add_epsilon(node, end);
}

// How much at the end of `text`, a call's arguments and what was said of `close` behind them, is the latter. The
// arguments may end in the same characters: what stands before `close` is whole JSON.
size_t closing_length(std::string_view text, std::string_view close) {
  for (size_t length = std::min(close.size(), text.size()); length > 0; --length) {
    const std::string_view arguments = text.substr(0, text.size() - length);
    if (text.ends_with(close.substr(0, length)) && !try_parse_json(arguments).is_discarded()) return length;
  }
  return 0;
}

}  // namespace

Tools Tools::read(const Json& body) {
  Tools tools;
  const Json none;
  const Json& list = body.contains("tools") ? body["tools"] : none;
  const bool chosen = body.contains("tool_choice") && !body["tool_choice"].is_null();
  if (list.is_null() || list.empty()) {
    if (chosen && body["tool_choice"] != "none" && body["tool_choice"] != "auto")
      throw wrong("`tool_choice` asks for a tool, but there are no `tools`", "tool_choice");
    return tools;
  }
  if (!list.is_array() || list.size() > kMaxTools)
    throw wrong(fmt::format("`tools` is a list of at most {} tools", kMaxTools), "tools");
  for (const Json& item : list) tools.tools.push_back(read_tool(item));
  tools.choice = Choice::may;
  if (chosen) read_choice(body["tool_choice"], tools);
  return tools;
}

std::vector<std::string> Tools::listing() const {
  std::vector<std::string> listed;
  if (choice == Choice::none) return listed;
  for (const Tool& tool : tools) listed.push_back(tool.json);
  return listed;
}

std::shared_ptr<const Grammar> Tools::grammar(const ToolForm& form) const {
  auto grammar = std::make_shared<Grammar>();
  const Grammar::Rule root = grammar->declare_rule();
  const Grammar::Node start = grammar->add_node(), end = grammar->add_node(), call = grammar->add_node();
  for (const Tool& tool : tools) {
    const Grammar::Node open = grammar->literal(call, form.open + tool.name + form.middle);
    grammar->add_epsilon(grammar->literal(append_json_schema(*grammar, open, tool.parameters), form.close), end);
  }
  grammar->add_epsilon(start, call);
  grammar->add_bytes(start, ' ', ' ', call);
  if (choice == Choice::may) append_plain_text(*grammar, start, end, form.open.front());
  grammar->define_rule(root, start, end);
  grammar->finish(root);
  return grammar;
}

std::string Tools::source() const {
  std::string text = choice == Choice::may ? "tools may" : "tools must";
  for (const Tool& tool : tools) text += "\n" + tool.name + dump_json(tool.parameters);
  return text;
}

std::vector<SpecialToken> spelled_tokens(const Tokenizer& tokenizer, const ToolForm& form) {
  std::vector<SpecialToken> spelled;
  for (const SpecialToken& token : tokenizer.special_tokens())
    if (!token.text.empty() && form.open.starts_with(token.text)) spelled.push_back(token);
  return spelled;
}

ToolCallReader::Part ToolCallReader::push(std::string_view piece) {
  held_ += piece;
  return advance(false);
}

ToolCallReader::Part ToolCallReader::finish() { return advance(true); }

ToolCallReader::Part ToolCallReader::advance(bool at_end) {
  Part part;
  if (state_ == State::undecided) {
    const size_t begin = held_.starts_with(' ') ? 1 : 0;
    const std::string_view seen = std::string_view(held_).substr(begin);
    const bool opens = seen.starts_with(form_.open);
    const size_t name = begin + form_.open.size(), end = opens ? held_.find(form_.middle, name) : std::string::npos;
    if (end != std::string::npos) {
      part.name = held_.substr(name, end - name);
      held_.erase(0, end + form_.middle.size());
      state_ = State::arguments;
    } else if (at_end || (!opens && !form_.open.starts_with(seen))) {
      state_ = State::text;
    }
  }
  if (state_ == State::text) std::swap(part.content, held_);
  if (state_ == State::arguments) {
    const size_t close = at_end ? closing_length(held_, form_.close) : std::min(held_.size(), form_.close.size());
    size_t end = held_.size() - close;  // may lie in a character, which is passed on whole
    const auto is_in_character = [&] { return end < held_.size() && (held_[end] & 0xC0) == 0x80; };
    while (is_in_character()) --end;
    part.arguments = held_.substr(given_, end - given_);
    given_ += part.arguments.size();
  }
  return part;
}

}  // namespace starling
