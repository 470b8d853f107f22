// Chat and text completions as OpenAI's API describes them. A parameter that we cannot honour is refused by name, not
// ignored.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/hash.h"
#include "core/time.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"

namespace starling {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kMaxMessages = 256;

enum class ApiKind { chat, text };

// One completion to make. `prompt` is already tokenized: control tokens come from the template, never from the
// messages.
struct Call {
  Platform* platform;
  Engine* engine;
  ApiKind kind;
  std::vector<std::vector<TokenId>> prompts;  // one choice for each
  SamplingOptions sampling;
  bool include_usage = false;
  std::string id;
  int64_t created_s = 0;
  double start_s = 0;
  std::shared_ptr<const std::atomic<bool>> cancelled;
};

struct Usage {
  int prompt_tokens = 0, completion_tokens = 0;
};

void refuse_unsupported(const JsonBody& body) {
  const auto unsupported = [](const char* name) {
    return HttpError(400, "unsupported_parameter", fmt::format("`{}` is not supported by this server", name), name);
  };
  for (const char* name : {"tools", "functions", "logit_bias", "suffix"})
    if (const json* value = body.find(name); value && !value->empty()) throw unsupported(name);
  for (const char* name : {"frequency_penalty", "presence_penalty"})
    if (const json* value = body.find(name); value && *value != 0) throw unsupported(name);
  for (const char* name : {"n", "best_of"})
    if (const json* value = body.find(name); value && *value != 1) throw unsupported(name);
  for (const char* name : {"logprobs", "echo"})
    if (const json* value = body.find(name); value && *value != false) throw unsupported(name);
  if (const json* format = body.find("response_format"); format && format->value("type", "text") != "text")
    throw unsupported("response_format");
}

std::vector<std::string> stop_strings(const JsonBody& body) {
  const json* stop = body.find("stop");
  if (!stop) return {};
  const json list = stop->is_string() ? json::array({*stop}) : *stop;
  const auto is_text = [](const json& item) { return item.is_string() && !item.get_ref<const std::string&>().empty(); };
  if (!list.is_array() || list.size() > 4 || !std::all_of(list.begin(), list.end(), is_text))
    throw HttpError(400, "invalid_field", "`stop` must be a string or a list of at most 4 strings", "stop");
  return list.get<std::vector<std::string>>();
}

SamplingOptions sampling_options(const JsonBody& body, int default_max_tokens) {
  SamplingOptions options;
  const int64_t max_tokens = body.integer("max_tokens", default_max_tokens, 1, 1 << 20);
  options.max_tokens = static_cast<int>(body.integer("max_completion_tokens", max_tokens, 1, 1 << 20));
  options.temperature = static_cast<float>(body.number("temperature", 1, 0, 2));
  options.top_p = static_cast<float>(body.number("top_p", 1, 0, 1));
  options.top_k = static_cast<int>(body.integer("top_k", 0, 0, 1 << 20));
  options.min_p = static_cast<float>(body.number("min_p", 0, 0, 1));
  options.stop = stop_strings(body);
  options.seed = body.find("seed") ? static_cast<uint64_t>(body.integer("seed", 0, INT64_MIN, INT64_MAX))
                                   : std::stoull(random_hex(8), nullptr, 16);
  return options;
}

// A message's content: a string, or parts of type text.
std::string content_of(const json& message) {
  const auto wrong = [] {
    return HttpError(400, "invalid_field", "a message's `content` must be a string or parts of type text", "messages");
  };
  const auto content = message.find("content");
  if (content == message.end()) throw wrong();
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

std::vector<ChatMessage> chat_messages(const JsonBody& body) {
  const json& list = body.require("messages");
  if (!list.is_array() || list.empty() || list.size() > kMaxMessages)
    throw HttpError(400, "invalid_field", fmt::format("`messages` must be a list of 1 to {} messages", kMaxMessages),
                    "messages");
  std::vector<ChatMessage> messages;
  for (const json& message : list) {
    std::string role =
        message.is_object() && message.contains("role") && message["role"].is_string() ? message["role"] : json("");
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant")
      throw HttpError(400, "invalid_field", "a message's `role` must be system, developer, user or assistant",
                      "messages");
    messages.push_back({role, content_of(message)});
  }
  return messages;
}

std::vector<std::string> text_prompts(const JsonBody& body) {
  const json& prompt = body.require("prompt");
  const json list = prompt.is_string() ? json::array({prompt}) : prompt;
  const auto is_text = [](const json& item) { return item.is_string(); };
  if (!list.is_array() || list.empty() || list.size() > 16 || !std::all_of(list.begin(), list.end(), is_text))
    throw HttpError(400, "invalid_field", "`prompt` must be a string or a list of 1 to 16 strings", "prompt");
  return list.get<std::vector<std::string>>();
}

// The model's begin token, then the text as data.
std::vector<TokenId> text_prompt_tokens(const Engine& engine, const std::string& text) {
  std::vector<TokenId> tokens = engine.tokenizer().encode(text);
  tokens.insert(tokens.begin(), static_cast<TokenId>(engine.config().bos_token));
  return tokens;
}

// Every prompt must leave room for at least one token; max_tokens is cut to the room there is.
void fit_to_context(Call& call) {
  const auto context = static_cast<size_t>(call.engine->config().max_positions);
  size_t longest = 0;
  for (const auto& prompt : call.prompts) longest = std::max(longest, prompt.size());
  if (longest >= context)
    throw HttpError(400, "context_length_exceeded",
                    fmt::format("the prompt has {} tokens; the model's context is {}", longest, context),
                    call.kind == ApiKind::chat ? "messages" : "prompt");
  call.sampling.max_tokens = static_cast<int>(std::min<size_t>(call.sampling.max_tokens, context - longest));
}

Call make_call(Platform& platform, const Request& request, const JsonBody& body, ApiKind kind) {
  refuse_unsupported(body);
  Call call{.platform = &platform, .engine = &platform.models.require(body.text("model")), .kind = kind};
  call.sampling = sampling_options(body, kind == ApiKind::chat ? 256 : 16);  // 16 is OpenAI's default for text
  if (const json* options = body.find("stream_options"); options && options->is_object())
    call.include_usage = options->value("include_usage", json()) == true;
  call.id = (kind == ApiKind::chat ? "chatcmpl-" : "cmpl-") + random_hex(12);
  call.created_s = now_s();
  call.start_s = monotonic_s();
  call.cancelled = request.cancelled;
  return call;
}

const char* finish_name(FinishReason reason) { return reason == FinishReason::length ? "length" : "stop"; }

ordered_json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

ordered_json envelope(const Call& call, const char* object) {
  return {{"id", call.id}, {"object", object}, {"created", call.created_s}, {"model", call.engine->name()}};
}

// Generates for one prompt; `on_text` as Engine's. Counts tokens and the time to the first one.
Generation generate(const Call& call, size_t index, Usage& usage, const Engine::OnText& on_text) {
  double first_s = 0;
  const auto counting = [&](std::string_view piece) {
    if (first_s == 0) first_s = monotonic_s() - call.start_s;
    return !*call.cancelled && (!on_text || on_text(piece));
  };
  Generation made = call.engine->generate(call.prompts[index], call.sampling, counting);
  usage.prompt_tokens += made.prompt_tokens;
  usage.completion_tokens += made.completion_tokens;
  call.platform->metrics.count_generation(call.engine->name(), made.prompt_tokens, made.completion_tokens, first_s);
  return made;
}

Response answer_whole(const Call& call) {
  const bool chat = call.kind == ApiKind::chat;
  Usage usage;
  ordered_json choices = ordered_json::array();
  for (size_t i = 0; i < call.prompts.size(); ++i) {
    const Generation made = generate(call, i, usage, {});
    ordered_json choice = {{"index", i}};
    if (chat) choice["message"] = {{"role", "assistant"}, {"content", made.text}, {"refusal", nullptr}};
    else choice["text"] = made.text;
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = finish_name(made.finish);
    choices.push_back(std::move(choice));
  }
  ordered_json answer = envelope(call, chat ? "chat.completion" : "text_completion");
  answer["choices"] = std::move(choices);
  answer["usage"] = usage_json(usage);
  return json_response(answer);
}

bool write_event(StreamWriter& writer, const ordered_json& event) {
  return writer.write("data: " + event.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n\n");
}

ordered_json chunk(const Call& call, size_t index, const ordered_json& delta_or_text, const char* finish) {
  const bool chat = call.kind == ApiKind::chat;
  ordered_json event = envelope(call, chat ? "chat.completion.chunk" : "text_completion");
  ordered_json choice = {{"index", index}, {chat ? "delta" : "text", delta_or_text}, {"logprobs", nullptr}};
  choice["finish_reason"] = finish ? ordered_json(finish) : ordered_json();
  event["choices"] = ordered_json::array({std::move(choice)});
  if (call.include_usage) event["usage"] = nullptr;
  return event;
}

void stream_choice(const Call& call, size_t index, Usage& usage, StreamWriter& writer) {
  const bool chat = call.kind == ApiKind::chat;
  if (chat && !write_event(writer, chunk(call, index, {{"role", "assistant"}, {"content", ""}}, nullptr))) return;
  const Generation made = generate(call, index, usage, [&](std::string_view piece) {
    const ordered_json content = chat ? ordered_json{{"content", piece}} : ordered_json(piece);
    return write_event(writer, chunk(call, index, content, nullptr));
  });
  if (made.finish == FinishReason::cancelled) return;
  write_event(writer, chunk(call, index, chat ? ordered_json::object() : ordered_json(""), finish_name(made.finish)));
}

void stream_call(const Call& call, StreamWriter& writer) try {
  Usage usage;
  for (size_t i = 0; i < call.prompts.size() && !*call.cancelled; ++i) stream_choice(call, i, usage, writer);
  if (call.include_usage) {
    ordered_json last = envelope(call, call.kind == ApiKind::chat ? "chat.completion.chunk" : "text_completion");
    last["choices"] = ordered_json::array();
    last["usage"] = usage_json(usage);
    write_event(writer, last);
  }
  writer.write("data: [DONE]\n\n");
} catch (const std::exception& error) {
  // The head with its 200 is out, so the error travels as an event, which OpenAI's clients throw.
  spdlog::error("generating with {}: {}", call.engine->name(), error.what());
  writer.write(
      "data: " + error_body(HttpError(500, "internal_error", "the generation failed; the server's log says why")) +
      "\n\n");
}

Response answer(Call call, bool streamed) {
  fit_to_context(call);
  if (!streamed) return answer_whole(call);
  Response response{.content_type = "text/event-stream"};
  response.stream = [call = std::move(call)](StreamWriter& writer) { stream_call(call, writer); };
  return response;
}

ordered_json model_json(const std::string& name) {
  return {{"id", name}, {"object", "model"}, {"created", 0}, {"owned_by", "starling"}};
}

}  // namespace

Response list_models(Platform& platform, const Request&) {
  ordered_json data = ordered_json::array();
  for (const std::string& name : platform.models.names()) data.push_back(model_json(name));
  return json_response(ordered_json{{"object", "list"}, {"data", std::move(data)}});
}

Response get_model(Platform& platform, const Request& request) {
  return json_response(model_json(platform.models.require(request.parameters.at("model")).name()));
}

Response create_chat_completion(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  Call call = make_call(platform, request, body, ApiKind::chat);
  call.prompts.push_back(call.engine->chat_prompt(chat_messages(body)));
  return answer(std::move(call), body.boolean("stream", false));
}

Response create_completion(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  Call call = make_call(platform, request, body, ApiKind::text);
  for (const std::string& prompt : text_prompts(body)) call.prompts.push_back(text_prompt_tokens(*call.engine, prompt));
  return answer(std::move(call), body.boolean("stream", false));
}

}  // namespace starling
