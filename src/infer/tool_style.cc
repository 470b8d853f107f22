#include "infer/tool_style.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/json.h"

namespace starling {
namespace {

using Json = nlohmann::ordered_json;

// Qwen/Qwen2.5-7B-Instruct, tokenizer_config.json.
ToolStyle qwen25() {
  return {.tools_open =
              "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are "
              "provided with function signatures within <tools></tools> XML tags:\n<tools>\n",
          .tools_between = "\n",
          .tools_close =
              "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
              "within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, "
              "\"arguments\": <args-json-object>}\n</tool_call>",
          .call_open = "<tool_call>\n{\"name\": \"",
          .call_middle = "\", \"arguments\": ",
          .call_close = "}\n</tool_call>",
          .calls_between = "\n",
          .keeps_text = true,
          .results_open = "<|im_start|>user",
          .result_open = "\n<tool_response>\n",
          .result_close = "\n</tool_response>",
          .results_close = "<|im_end|>\n",
          .marks = {"<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>"}};
}

// meta-llama/Llama-3.1-8B-Instruct and Llama-3.2-3B-Instruct, tokenizer_config.json.
ToolStyle llama31() {
  return {.place = ToolStyle::Place::first_user,
          .first_system_text = "Environment: ipython\n",
          .tools_open =
              "Given the following functions, please respond with a JSON for a function call with its proper "
              "arguments that best answers the given prompt.\n\nRespond in the format {\"name\": function "
              "name, \"parameters\": dictionary of argument name and its value}.Do not use variables.\n\n",
          .tools_between = "\n\n",
          .tools_close = "\n\n",
          .indented = true,
          .call_open = "{\"name\": \"",
          .call_middle = "\", \"parameters\": ",
          .call_close = "}",
          .calls_between = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
          .result_open = "<|start_header_id|>ipython<|end_header_id|>\n\n",
          .result_close = "<|eot_id|>",
          .quotes_results = true};
}

// mistralai/Mistral-7B-Instruct-v0.3 has `gap` " ", Mistral-Nemo-Instruct-2407 none; tokenizer_config.json.
ToolStyle mistral_v3(const std::string& gap) {
  return {.place = ToolStyle::Place::before_last_user,
          .tools_open = "[AVAILABLE_TOOLS]" + gap + "[",
          .tools_between = ", ",
          .tools_close = "][/AVAILABLE_TOOLS]",
          .calls_open = "[TOOL_CALLS]" + gap + "[",
          .call_open = "{\"name\": \"",
          .call_middle = "\", \"arguments\": ",
          .call_close = "}",
          .calls_between = ", ",
          .calls_close = "]",
          .result_open = "[TOOL_RESULTS]" + gap + "{\"content\": ",
          .result_close = "\"}[/TOOL_RESULTS]",
          .call_id = ", \"id\": \"",
          .result_id = ", \"call_id\": \"",
          .marks = {"[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"}};
}

std::string described(const std::string& tool) try {
  const Json function = parse_ordered_json(tool).value("function", Json::object());
  const Json none = {{"type", "object"}, {"properties", Json::object()}};
  return dump_json_lossy(Json{{"name", function.value("name", Json(""))},
                              {"description", function.value("description", Json(""))},
                              {"parameters", function.value("parameters", none)}});
} catch (const Json::exception& error) {
  throw ConfigError(fmt::format("chat: a tool is not JSON as OpenAI's API has it: {}", error.what()));
}

std::string instructions(const std::vector<std::string>& tools) {
  std::string text =
      "You can call one of these functions. To call it, answer with nothing but\n<tool_call>\n"
      "{\"name\":\"the function's name\",\"arguments\":{the arguments}}\n</tool_call>\n"
      "The functions, one a line:\n";
  for (const std::string& tool : tools) text += described(tool) + "\n";
  return text;
}

}  // namespace

std::optional<ToolStyle> recognise_tool_style(std::string_view conversation, std::string_view jinja) {
  const auto has = [jinja](std::string_view mark) { return jinja.find(mark) != std::string_view::npos; };
  // Jinja writes a line end as \n.
  if (conversation == "chatml" && has("\\n\\n# Tools\\n\\nYou may call one or more functions") &&
      has("<tool_response>"))
    return qwen25();
  if (conversation == "llama3" && has("Environment: ipython") && has("Given the following functions")) return llama31();
  if ((conversation == "mistral-v3" || conversation == "mistral-tekken") && has("[AVAILABLE_TOOLS]") &&
      has("[TOOL_CALLS]") && has("[TOOL_RESULTS]"))
    return mistral_v3(has("[TOOL_CALLS] ") ? " " : "");
  return std::nullopt;
}

const ToolForm& own_tool_form() {
  static const ToolForm form{"<tool_call>\n{\"name\":\"", "\",\"arguments\":", "}\n</tool_call>"};
  return form;
}

std::vector<ChatMessage> in_own_words(std::vector<ChatMessage> messages, const std::vector<std::string>& tools) {
  const ToolForm& form = own_tool_form();
  for (ChatMessage& message : messages) {
    for (const ToolCall& call : message.calls)
      message.content += form.open + call.name + form.middle + call.arguments + form.close;
    message.calls.clear();
    if (message.role == "tool") message = {"user", "<tool_response>\n" + message.content + "\n</tool_response>"};
  }
  if (tools.empty()) return messages;
  if (messages[0].role != "system") messages.insert(messages.begin(), {"system", ""});
  messages[0].content += (messages[0].content.empty() ? "" : "\n\n") + instructions(tools);
  return messages;
}

std::string spaced_json(std::string_view json) {
  std::string text;
  bool in_string = false, escaped = false;
  for (const char c : json) {
    if (!in_string && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) continue;
    text += c;
    if (!in_string && (c == ',' || c == ':')) text += ' ';
    if (c == '"' && !escaped) in_string = !in_string;
    escaped = c == '\\' && !escaped;
  }
  return text;
}

std::string short_call_id(const std::string& id) {
  constexpr size_t kSize = 9;
  return id.size() < kSize ? std::string(kSize - id.size(), '0') + id : id.substr(id.size() - kSize);
}

}  // namespace starling
