// Tools in a chat: how a model is told of them, calls them and hears what they gave, in the form of its own published
// template. Where a template has none, or there is no template, it is told in our own words. A tool is JSON text as
// OpenAI's API has it: {"type":"function","function":{"name":…,"description":…,"parameters":…}}.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "infer/engine.h"

namespace starling {

// Every text is the template's. What stands between them, of tools, calls and results, is data.
struct ToolStyle {
  enum class Place { system_end, first_user, before_last_user };  // where the tools are listed
  Place place = Place::system_end;
  std::string first_system_text;  // the first message begins with it when there are tools and it is a system's
  std::string tools_open, tools_between, tools_close;
  bool indented = false;  // a tool is several lines of JSON, else one
  // {call_open} NAME {call_middle} ARGUMENTS {call_close}, of several with calls_between.
  std::string calls_open, call_open, call_middle, call_close, calls_between, calls_close;
  bool keeps_text = false;  // an answer's text stands before its calls, else it is left out
  // results_open and results_close stand around all results that follow each other.
  std::string results_open, result_open, result_close, results_close;
  bool quotes_results = false;  // a result is a JSON string, else the text itself
  // What stands before a call's id, in the call and in its result; empty: it is not told.
  std::string call_id, result_id;
  std::vector<std::string> marks;  // broken in messages

  ToolForm form() const { return {calls_open + call_open, call_middle, call_close + calls_close}; }
};

// Qwen 2.5's, Llama 3.1's and later, Mistral's of version 3 with either tokenizer; nothing for another template.
// `conversation` is the ChatTemplate's name.
std::optional<ToolStyle> recognise_tool_style(std::string_view conversation, std::string_view jinja);

const ToolForm& own_tool_form();

// The conversation without tools, calls and results: all of them said in system, user and assistant messages. Throws
// ConfigError for a tool that is no such JSON.
std::vector<ChatMessage> in_own_words(std::vector<ChatMessage> messages, const std::vector<std::string>& tools);

// JSON on one line with a space after `,` and `:`, as Python's json.dumps and with it the templates' `tojson` write it.
// What is no JSON comes back in some form.
std::string spaced_json(std::string_view json);

// The last nine characters: the form that Mistral's models know.
std::string short_call_id(const std::string& id);

}  // namespace starling
