#include "server/completion_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/time.h"
#include "infer/grammar_text.h"
#include "infer/json_schema.h"
#include "server/json_body.h"
#include "server/platform.h"

namespace starling {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kMaxMessages = 2048, kMaxPrompts = 64, kMaxChoices = 16, kMaxBiases = 1024;
constexpr size_t kMaxRequests = 128, kMaxStopBytes = 1024;  // each choice keeps its stop strings
constexpr float kNever = -std::numeric_limits<float>::infinity();

void refuse_unsupported(const JsonBody& body) {
  const auto unsupported = [](const char* name, const char* instead = "") {
    return HttpError(400, "unsupported_parameter", fmt::format("`{}` is not supported by this server{}", name, instead),
                     name);
  };
  for (const char* name : {"functions", "function_call"})
    if (body.find(name)) throw unsupported(name, "; use `tools` and `tool_choice`");
  if (const json* suffix = body.find("suffix"); suffix && *suffix != "") throw unsupported("suffix");
  for (const char* name : {"audio", "web_search_options"})
    if (body.find(name)) throw unsupported(name);
  if (const json* modalities = body.find("modalities"); modalities && *modalities != json::array({"text"}))
    throw unsupported("modalities");
  if (const json* best_of = body.find("best_of");
      best_of && *best_of != 1 && (!body.find("n") || *best_of != *body.find("n")))
    throw unsupported("best_of", "; use `n`");
}

std::vector<std::string> stop_strings(const JsonBody& body) {
  const json* stop = body.find("stop");
  if (!stop) return {};
  const json list = stop->is_string() ? json::array({*stop}) : *stop;
  const auto is_text = [](const json& item) {
    const size_t size = item.is_string() ? item.get_ref<const std::string&>().size() : 0;
    return size > 0 && size <= kMaxStopBytes;
  };
  if (!list.is_array() || list.size() > 4 || !std::all_of(list.begin(), list.end(), is_text))
    throw wrong_field("stop",
                      fmt::format("a string or a list of at most 4 strings, of at most {} bytes each", kMaxStopBytes));
  return list.get<std::vector<std::string>>();
}

// OpenAI's -100 and 100 mean never and only.
std::vector<TokenBias> logit_bias(const JsonBody& body, const Engine& engine) {
  std::vector<TokenBias> biases;
  const json* map = body.find("logit_bias");
  if (!map) return biases;
  if (!map->is_object() || map->size() > kMaxBiases)
    throw wrong_field("logit_bias",
                      fmt::format("an object of at most {} token ids with numbers from -100 to 100", kMaxBiases));
  for (const auto& [name, value] : map->items()) {
    TokenId token = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), token);
    const bool is_token =
        error == std::errc() && end == name.data() + name.size() && token >= 0 && token < engine.config().vocab_size;
    if (!is_token || !value.is_number() || !(std::abs(value.get<double>()) <= 100))
      throw wrong_field("logit_bias", "an object of token ids of this model with numbers from -100 to 100");
    biases.push_back({token, value == -100 ? kNever : value.get<float>()});
  }
  return biases;
}

SamplingOptions sampling_options(const JsonBody& body, const Engine& engine, int default_max_tokens,
                                 int least_max_tokens) {
  SamplingOptions options;
  const int64_t max_tokens = body.integer("max_tokens", default_max_tokens, least_max_tokens, 1 << 20);
  options.max_tokens = static_cast<int>(body.integer("max_completion_tokens", max_tokens, least_max_tokens, 1 << 20));
  options.temperature = static_cast<float>(body.number("temperature", 1, 0, 2));
  options.top_p = static_cast<float>(std::max(body.number("top_p", 1, 0, 1), 1e-6));
  options.top_k = static_cast<int>(std::max<int64_t>(body.integer("top_k", 0, -1, 1 << 20), 0));
  options.min_p = static_cast<float>(body.number("min_p", 0, 0, 1));
  options.presence_penalty = static_cast<float>(body.number("presence_penalty", 0, -2, 2));
  options.frequency_penalty = static_cast<float>(body.number("frequency_penalty", 0, -2, 2));
  options.repetition_penalty = static_cast<float>(body.number("repetition_penalty", 1, 0.1, 10));
  options.stop = stop_strings(body);
  options.logit_bias = logit_bias(body, engine);
  if (body.boolean("ignore_eos", false))
    for (const SpecialToken& token : engine.tokenizer().special_tokens())
      options.logit_bias.push_back({token.id, kNever});
  options.seed = body.find("seed") ? static_cast<uint64_t>(body.integer("seed", 0, INT64_MIN, INT64_MAX))
                                   : std::stoull(random_hex(8), nullptr, 16);
  return options;
}

// A message's content: a string, or parts of type text.
std::string content_of(const json& message) {
  const auto wrong = [] {
    return wrong_field("messages", "messages whose `content` is a string or parts of type text");
  };
  const auto content = message.find("content");
  const bool has_calls = message.contains("tool_calls");
  if (content == message.end() || content->is_null()) {
    if (has_calls) return {};
    throw wrong();
  }
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) throw wrong();
  std::string text;
  for (const json& part : *content) {
    if (!part.is_object() || part.value("type", json()) != "text" || !part.contains("text") ||
        !part["text"].is_string())
      throw wrong();
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

std::string text_or_empty(const json& object, const char* name) {
  return object.contains(name) && object[name].is_string() ? object[name].get<std::string>() : "";
}

// Earlier calls of the assistant.
std::vector<ToolCall> calls_of(const json& message) {
  std::vector<ToolCall> calls;
  if (!message.contains("tool_calls") || message["tool_calls"].is_null()) return calls;
  const auto wrong = [] {
    return wrong_field("messages", "messages whose `tool_calls` have a function with `name` and `arguments`");
  };
  if (!message["tool_calls"].is_array()) throw wrong();
  for (const json& call : message["tool_calls"]) {
    const json* function = call.is_object() && call.contains("function") ? &call["function"] : nullptr;
    const auto has_text = [&](const char* name) { return function->contains(name) && (*function)[name].is_string(); };
    if (!function || !function->is_object() || !has_text("name") || !has_text("arguments")) throw wrong();
    calls.push_back({text_or_empty(call, "id"), (*function)["name"], (*function)["arguments"]});
  }
  return calls;
}

ChatMessage chat_message(const json& message) {
  std::string role =
      message.is_object() && message.contains("role") && message["role"].is_string() ? message["role"] : json("");
  if (role == "developer") role = "system";
  if (role != "system" && role != "user" && role != "assistant" && role != "tool")
    throw wrong_field("messages", "messages whose `role` is system, developer, user, assistant or tool");
  ChatMessage read{.role = role, .content = content_of(message)};
  if (role == "assistant") read.calls = calls_of(message);
  if (role == "tool") read.call_id = text_or_empty(message, "tool_call_id");
  return read;
}

std::vector<ChatMessage> chat_messages(const JsonBody& body) {
  const json& list = body.require("messages");
  if (!list.is_array() || list.empty() || list.size() > kMaxMessages)
    throw wrong_field("messages", fmt::format("a list of 1 to {} messages", kMaxMessages));
  std::vector<ChatMessage> messages;
  for (const json& message : list) messages.push_back(chat_message(message));
  return messages;
}

struct Prompt {
  std::string text;
  std::vector<TokenId> tokens;
};

Prompt prompt_of(const json& item, const Engine& engine) {
  if (item.is_string()) return {item.get<std::string>(), engine.text_tokens(item.get<std::string>())};
  Prompt prompt;
  prompt.tokens = tokens_of(item, engine, "prompt");
  for (const TokenId token : prompt.tokens) prompt.text += engine.tokenizer().token_bytes(token);
  return prompt;
}

// A string, tokens, or a list of either.
std::vector<Prompt> text_prompts(const JsonBody& body, const Engine& engine) {
  const json& given = body.require("prompt");
  const bool one = given.is_string() || (given.is_array() && !given.empty() && given[0].is_number());
  const json list = one ? json::array({given}) : given;
  const auto fits = [](const json& item) { return item.is_string() || item.is_array(); };
  if (!list.is_array() || list.empty() || list.size() > kMaxPrompts || !std::all_of(list.begin(), list.end(), fits))
    throw wrong_field("prompt", fmt::format("a string, a list of tokens, or a list of 1 to {} of them", kMaxPrompts));
  std::vector<Prompt> prompts;
  for (const json& item : list) prompts.push_back(prompt_of(item, engine));
  return prompts;
}

// Every prompt must leave room for at least one token, if one is wanted; max_tokens is cut to the room there is.
void fit_to_context(GenerationRequest& request, const Engine& engine, const char* field) {
  const auto context = static_cast<size_t>(engine.config().max_positions);
  const size_t size = request.prompt.size();
  if (size > context || (size == context && request.options.max_tokens > 0))
    throw HttpError(400, "context_length_exceeded",
                    fmt::format("the prompt has {} tokens; the model's context is {}", size, context), field);
  request.options.max_tokens =
      static_cast<int>(std::min<size_t>(static_cast<size_t>(request.options.max_tokens), context - size));
}

void add_requests(CompletionCall& call, std::vector<TokenId> prompt, const SamplingOptions& options) {
  GenerationRequest request{std::move(prompt), options};
  fit_to_context(request, *call.engine, call.kind == ApiKind::chat ? "messages" : "prompt");
  for (size_t i = 0; i < call.n; ++i, ++request.options.seed) call.requests.push_back(request);
  if (call.requests.size() > kMaxRequests)
    throw wrong_field("n", fmt::format("so that there are at most {} choices in all", kMaxRequests));
}

// Takes the most tokens that the call can use: each prompt once, and what every choice may write. Where the client did
// not say how much that is, it is cut to what the key has left, one token a choice at least.
void reserve_tokens(CompletionCall& call, const JsonBody& body, const ApiKey& key) {
  int64_t prompts = 0, answers = 0;
  for (size_t i = 0; i < call.requests.size(); ++i) {
    if (i % call.n == 0) prompts += static_cast<int64_t>(call.requests[i].prompt.size());
    answers += call.requests[i].options.max_tokens;
  }
  const bool stated = body.find("max_tokens") || body.find("max_completion_tokens");
  const auto choices = static_cast<int64_t>(call.requests.size());
  const int64_t most = prompts + answers, least = stated ? most : prompts + choices;
  call.quota = call.platform->quota.reserve_up_to(key, least, most, call.created_s);
  if (call.quota->granted() == most) return;
  const auto each = static_cast<int>((call.quota->granted() - prompts) / choices);
  for (GenerationRequest& request : call.requests)
    request.options.max_tokens = std::min(request.options.max_tokens, each);
}

// The output's form: response_format, or a grammar as text. `ordered` is the body with its properties in their order,
// which is the order that the output's will have; `spelled` are special tokens that are text in it.
std::shared_ptr<GrammarConstraint> constraint_of(CompletionCall& call, const JsonBody& body,
                                                 const ordered_json& ordered,
                                                 const std::vector<SpecialToken>& spelled) {
  const auto compile = [&](const std::string& source, const char* field, const Constraints::Compile& make) {
    call.form_field = field;
    try {
      return call.platform->constraints.get(*call.engine, source, make, spelled);
    } catch (const ConfigError& error) {
      throw HttpError(400, "invalid_schema", error.what(), field);
    }
  };
  const json* format = body.find("response_format");
  const std::string type = format && format->is_object() && format->contains("type") && (*format)["type"].is_string()
                               ? (*format)["type"].get<std::string>()
                               : "";
  if (format && type != "text" && type != "json_object" && type != "json_schema")
    throw wrong_field("response_format", "an object whose `type` is text, json_object or json_schema");
  const std::string grammar = body.text("grammar", "");
  const bool formed = type == "json_object" || type == "json_schema";
  const bool has_tools = call.tools.choice != Tools::Choice::none;
  if (int{formed} + int{!grammar.empty()} + int{has_tools} > 1)
    throw HttpError(400, "unsupported_parameter", "`response_format`, `grammar` and `tools` cannot be combined",
                    grammar.empty() ? "response_format" : "grammar");
  if (has_tools)
    return compile(call.tools.source(), "tools", [&] { return call.tools.grammar(call.engine->tool_form()); });
  if (!grammar.empty()) return compile("grammar\n" + grammar, "grammar", [&] { return parse_grammar(grammar); });
  if (type == "json_object") return compile("json_object", "response_format", [] { return json_object_grammar(); });
  if (type != "json_schema") return nullptr;
  const ordered_json& given = ordered["response_format"];
  if (!given.contains("json_schema") || !given["json_schema"].is_object() || !given["json_schema"].contains("schema"))
    throw wrong_field("response_format", "{\"type\":\"json_schema\",\"json_schema\":{\"name\":…,\"schema\":…}}");
  const ordered_json& schema = given["json_schema"]["schema"];
  return compile("json_schema\n" + dump_json(schema), "response_format", [&] { return json_schema_grammar(schema); });
}

CompletionCall begin_call(Platform& platform, const Request& request, const JsonBody& body, ApiKind kind) {
  refuse_unsupported(body);
  CompletionCall call{.platform = &platform, .engine = platform.models.require(body.text("model")), .kind = kind};
  call.n = static_cast<size_t>(body.integer("n", 1, 1, kMaxChoices));
  call.stream = body.boolean("stream", false);
  if (const json* options = body.find("stream_options")) {
    if (!call.stream || !options->is_object())
      throw wrong_field("stream_options", "an object, given only with `stream`: true");
    call.include_usage = options->value("include_usage", json()) == true;
  }
  call.id = (kind == ApiKind::chat ? "chatcmpl-" : "cmpl-") + random_hex(12);
  call.created_s = now_s();
  call.start_s = request.arrival_s;
  if (body.find("service_tier"))
    call.service_tier = service_of(body, request).priority == Priority::batch ? "flex" : "default";
  return call;
}

}  // namespace

Service service_of(const JsonBody& body, const Request& request) {
  const std::string tier = body.text("service_tier", "auto");
  const bool interactive = tier == "auto" || tier == "default" || tier == "priority";
  if (!interactive && tier != "flex") throw wrong_field("service_tier", "auto, default, priority or flex");
  return {.priority = interactive ? Priority::interactive : Priority::batch,
          .tenant = request.key.name,
          .cancelled = request.cancelled};
}

std::vector<TokenId> tokens_of(const json& list, const Engine& engine, const char* field) {
  const auto is_token = [&](const json& item) {
    return item.is_number_integer() && item >= 0 && item < engine.tokenizer().vocab_size();
  };
  if (!list.is_array() || list.empty() || !std::all_of(list.begin(), list.end(), is_token))
    throw wrong_field(field,
                      fmt::format("text, or at least one token id from 0 to {}", engine.tokenizer().vocab_size() - 1));
  return list.get<std::vector<TokenId>>();
}

CompletionCall read_chat_call(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const ordered_json ordered = parse_ordered_json(request.body);
  CompletionCall call = begin_call(platform, request, body, ApiKind::chat);
  const auto rest_of_context = static_cast<int>(call.engine->config().max_positions);  // cut when the prompt is known
  SamplingOptions options = sampling_options(body, *call.engine, rest_of_context, 1);
  call.logprobs = body.boolean("logprobs", false);
  const auto top = static_cast<int>(body.integer("top_logprobs", 0, 0, 20));
  if (top > 0 && !call.logprobs) throw wrong_field("top_logprobs", "given only with `logprobs`: true");
  if (call.logprobs) options.logprobs = top;
  call.tools = Tools::read(ordered);
  if (call.tools.choice != Tools::Choice::none)
    options.spelled = spelled_tokens(call.engine->tokenizer(), call.engine->tool_form());
  options.constraint = constraint_of(call, body, ordered, options.spelled);
  options.service = service_of(body, request);
  add_requests(call, call.engine->tool_prompt(chat_messages(body), call.tools.listing()), options);
  reserve_tokens(call, body, request.key);
  return call;
}

CompletionCall read_text_call(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const ordered_json ordered = parse_ordered_json(request.body);
  CompletionCall call = begin_call(platform, request, body, ApiKind::text);
  const bool echo = body.boolean("echo", false);
  SamplingOptions options = sampling_options(body, *call.engine, 16, echo ? 0 : 1);  // 16 is OpenAI's default
  if (const json* logprobs = body.find("logprobs"); logprobs && *logprobs != false)
    options.logprobs = static_cast<int>(body.integer("logprobs", 0, 0, 5));
  call.logprobs = options.logprobs >= 0;
  options.prompt_logprobs = call.logprobs && echo;
  options.constraint = constraint_of(call, body, ordered, options.spelled);
  options.service = service_of(body, request);
  for (Prompt& prompt : text_prompts(body, *call.engine)) {
    if (echo) call.echo.push_back(std::move(prompt.text));
    add_requests(call, std::move(prompt.tokens), options);
  }
  reserve_tokens(call, body, request.key);
  return call;
}

}  // namespace starling
