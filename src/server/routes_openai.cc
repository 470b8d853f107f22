// Chat and text completions as OpenAI's API describes them: completion_call.h reads the request, this answers it.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <system_error>

#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/time.h"
#include "server/completion_call.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"

namespace starling {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::string dump(const ordered_json& value) { return dump_json_lossy(value); }

ordered_json number_or_null(float value) {  // JSON has no infinity and no NaN
  return std::isfinite(value) ? ordered_json(value) : ordered_json();
}

// {"content":[{"token","logprob","bytes","top_logprobs":[…]}],"refusal":null}
ordered_json chat_logprobs(const Engine& engine, std::span<const ScoredToken> tokens) {
  const auto entry = [&](TokenId token, float logprob) {
    const std::string bytes = engine.tokenizer().token_bytes(token);
    return ordered_json{{"token", bytes},
                        {"logprob", number_or_null(logprob)},
                        {"bytes", std::vector<uint8_t>(bytes.begin(), bytes.end())}};
  };
  ordered_json content = ordered_json::array();
  for (const ScoredToken& scored : tokens) {
    ordered_json item = entry(scored.token, scored.logprob);
    item["top_logprobs"] = ordered_json::array();
    for (const TokenLogprob& other : scored.top) item["top_logprobs"].push_back(entry(other.token, other.logprob));
    content.push_back(std::move(item));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// Of a token as a JSON key, so that two tokens do not share one: its text, a special token's name, or for a part of a
// character OpenAI's "bytes:\\xe2\\x80".
std::string token_name(const Engine& engine, TokenId token) {
  const std::string bytes = engine.tokenizer().token_bytes(token);
  if (bytes.empty()) {
    for (const SpecialToken& special : engine.tokenizer().special_tokens())
      if (special.id == token) return special.text;
  }
  if (is_utf8(bytes)) return bytes;
  std::string name = "bytes:";
  for (const char byte : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return name;
}

// Those that begin in these bytes of UTF-8: a token may be a part of a character.
size_t characters_begun(std::string_view bytes) {
  return static_cast<size_t>(std::ranges::count_if(bytes, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

// {"tokens","token_logprobs","top_logprobs","text_offset"}; `offset`: in characters, of the first token in the choice's
// text, moved on.
ordered_json text_logprobs(const Engine& engine, std::span<const ScoredToken> tokens, size_t& offset) {
  ordered_json list = {{"tokens", ordered_json::array()}, {"token_logprobs", ordered_json::array()}};
  ordered_json tops = ordered_json::array(), offsets = ordered_json::array();
  for (const ScoredToken& scored : tokens) {
    const std::string bytes = engine.tokenizer().token_bytes(scored.token);
    list["tokens"].push_back(token_name(engine, scored.token));
    list["token_logprobs"].push_back(number_or_null(scored.logprob));
    ordered_json top = ordered_json::object();
    for (const TokenLogprob& other : scored.top) top[token_name(engine, other.token)] = number_or_null(other.logprob);
    tops.push_back(scored.top.empty() ? ordered_json() : std::move(top));
    offsets.push_back(offset);
    offset += characters_begun(bytes);
  }
  list["top_logprobs"] = std::move(tops);
  list["text_offset"] = std::move(offsets);
  return list;
}

// The prompt's tokens that are text: not the begin token that we put before it.
std::span<const ScoredToken> echoed(const Engine& engine, const Generation& made) {
  const std::span<const ScoredToken> all = made.scored_prompt;
  return all.empty() || !engine.tokenizer().token_bytes(all[0].token).empty() ? all : all.subspan(1);
}

// OpenAI's API says "stop" where `tool_choice` left the model no choice of the tool.
const char* finish_name(const CompletionCall& call, FinishReason reason, bool tool_call) {
  if (reason == FinishReason::length) return "length";
  return tool_call && !call.tools.named ? "tool_calls" : "stop";
}

// A prompt counts once, however many choices were made from it.
ordered_json usage_of(const CompletionCall& call, const std::vector<Generation>& made) {
  int prompt = 0, cached = 0, completion = 0;
  for (size_t i = 0; i < made.size(); ++i) {
    if (i % call.n == 0) prompt += made[i].prompt_tokens, cached += made[i].cached_tokens;
    completion += made[i].completion_tokens;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion},
          {"prompt_tokens_details", {{"cached_tokens", cached}}},
          {"completion_tokens_details", {{"reasoning_tokens", 0}}}};
}

std::string object_name(const CompletionCall& call, bool chunk) {
  if (call.kind == ApiKind::text) return "text_completion";
  return chunk ? "chat.completion.chunk" : "chat.completion";
}

ordered_json envelope(const CompletionCall& call, bool chunk) {
  ordered_json head = {{"id", call.id},
                       {"object", object_name(call, chunk)},
                       {"created", call.created_s},
                       {"model", call.engine->name()}};
  if (!call.service_tier.empty()) head["service_tier"] = call.service_tier;
  return head;
}

int64_t prompt_tokens(const CompletionCall& call) {
  int64_t tokens = 0;
  for (size_t i = 0; i < call.requests.size(); i += call.n)
    tokens += static_cast<int64_t>(call.requests[i].prompt.size());
  return tokens;
}

// Generates all choices; counts tokens, times and cancellations.
std::vector<Generation> generate(const CompletionCall& call, const Engine::OnPiece& on_piece) {
  double first_s = 0;
  int64_t pieces = 0;  // of a token or more each
  const auto counting = [&](size_t i, const TextPiece& piece) {
    ++pieces;
    if (first_s == 0) first_s = monotonic_s() - call.start_s;
    return !on_piece || on_piece(i, piece);
  };
  std::vector<Generation> made;
  try {
    made = call.engine->generate_all(call.requests, counting);
  } catch (...) {  // a form that could not be kept to the end, for one: what was read and told counts
    call.quota->spend(prompt_tokens(call) + pieces);
    throw;
  }
  int64_t tokens = 0;
  for (size_t i = 0; i < made.size(); ++i) {
    GenerationCount count{.prompt_tokens = i % call.n == 0 ? made[i].prompt_tokens : 0,
                          .completion_tokens = made[i].completion_tokens};
    count.first_token_s = first_s;
    if (made[i].completion_tokens > 1) count.token_s = made[i].decode_s / (made[i].completion_tokens - 1);
    count.cancelled = made[i].finish == FinishReason::cancelled;
    tokens += count.prompt_tokens + count.completion_tokens;
    call.platform->metrics.count_generation(call.engine->name(), count);
  }
  call.quota->spend(tokens);
  return made;
}

std::string random_call_id() { return "call_" + random_hex(12); }

ordered_json chat_message(const CompletionCall& call, const Generation& made, bool& is_call) {
  ordered_json message = {{"role", "assistant"}, {"content", without_first_space(made.text)}, {"refusal", nullptr}};
  if (call.tools.choice == Tools::Choice::none) return message;
  ToolCallReader reader(call.engine->tool_form());
  ToolCallReader::Part begun = reader.push(made.text), ended = reader.finish();
  is_call = reader.is_call();
  if (!is_call) return message;
  message["content"] = nullptr;
  const std::string name = begun.name.empty() ? ended.name : begun.name;
  message["tool_calls"] =
      ordered_json::array({{{"id", random_call_id()},
                            {"type", "function"},
                            {"function", {{"name", name}, {"arguments", begun.arguments + ended.arguments}}}}});
  return message;
}

ordered_json choice_of(const CompletionCall& call, size_t index, const Generation& made) {
  ordered_json choice = {{"index", index}};
  bool is_call = false;
  ordered_json logprobs;
  if (call.kind == ApiKind::chat) {
    choice["message"] = chat_message(call, made, is_call);
    if (call.logprobs) logprobs = chat_logprobs(*call.engine, made.tokens);
  } else {
    choice["text"] = (call.echo.empty() ? "" : call.echo[index / call.n]) + made.text;
    if (call.logprobs) {
      const std::span<const ScoredToken> prompt = echoed(*call.engine, made);
      std::vector<ScoredToken> tokens(prompt.begin(), prompt.end());
      tokens.insert(tokens.end(), made.tokens.begin(), made.tokens.end());
      size_t offset = 0;
      logprobs = text_logprobs(*call.engine, tokens, offset);
    }
  }
  choice["logprobs"] = std::move(logprobs);
  choice["finish_reason"] = finish_name(call, made.finish, is_call);
  return choice;
}

Response answer_whole(const CompletionCall& call) {
  const std::vector<Generation> made = generate(call, {});
  ordered_json answer = envelope(call, false);
  answer["choices"] = ordered_json::array();
  for (size_t i = 0; i < made.size(); ++i) answer["choices"].push_back(choice_of(call, i, made[i]));
  answer["usage"] = usage_of(call, made);
  return json_response(answer);
}

// Writes the events of one streamed answer. What all events share is made into text once.
class EventStream {
 public:
  EventStream(const CompletionCall& call, StreamWriter& writer)
      : call_(call), writer_(writer), choices_(call.requests.size(), Choice(call.engine->tool_form())) {
    const std::string head = dump(envelope(call, true));
    head_ = "data: " + head.substr(0, head.size() - 1) + ",\"choices\":[";
  }

  void run() {
    for (size_t i = 0; i < choices_.size(); ++i)
      if (!begin(i)) return;
    const std::vector<Generation> made =
        generate(call_, [this](size_t i, const TextPiece& piece) { return show(i, piece); });
    for (size_t i = 0; i < made.size(); ++i)
      if (made[i].finish == FinishReason::cancelled || !end(i, made[i])) return;
    if (call_.include_usage) {
      ordered_json last = envelope(call_, true);
      last["choices"] = ordered_json::array();
      last["usage"] = usage_of(call_, made);
      writer_.write("data: " + dump(last) + "\n\n");
    }
    writer_.write("data: [DONE]\n\n");
  }

 private:
  struct Choice {
    explicit Choice(ToolForm form) : reader(std::move(form)) {}
    bool has_text = false;
    std::vector<ScoredToken> untold;  // whose text is held back, or is the first space
    size_t told_tokens = 0, offset = 0;
    ToolCallReader reader;
  };
  bool chat() const { return call_.kind == ApiKind::chat; }
  bool has_tools() const { return call_.tools.choice != Tools::Choice::none; }

  bool write(size_t index, const ordered_json& delta, const ordered_json& logprobs, const char* finish) {
    return writer_.write(
        fmt::format("{}{{\"index\":{},\"{}\":{},\"logprobs\":{},\"finish_reason\":{}}}]{}}}\n\n", head_, index,
                    chat() ? "delta" : "text", dump(delta), logprobs.is_null() ? "null" : dump(logprobs),
                    finish ? fmt::format("\"{}\"", finish) : "null", call_.include_usage ? ",\"usage\":null" : ""));
  }
  bool begin(size_t index) {
    if (chat()) return write(index, {{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}, nullptr, nullptr);
    if (call_.echo.empty() || call_.logprobs)
      return true;  // with log-probabilities the prompt comes at the end, scored
    return write(index, call_.echo[index / call_.n], nullptr, nullptr);
  }
  ordered_json logprobs_of(size_t index, std::span<const ScoredToken> tokens) {
    if (!call_.logprobs) return nullptr;
    choices_[index].told_tokens += tokens.size();
    return chat() ? chat_logprobs(*call_.engine, tokens) : text_logprobs(*call_.engine, tokens, choices_[index].offset);
  }
  bool show(size_t index, const TextPiece& piece) {
    if (!chat()) return holds_for_echo() || write(index, piece.text, logprobs_of(index, piece.tokens), nullptr);
    Choice& choice = choices_[index];
    choice.untold.insert(choice.untold.end(), piece.tokens.begin(), piece.tokens.end());
    return has_tools() ? show_part(index, choice.reader.push(piece.text)) : show_content(index, piece.text);
  }
  bool show_content(size_t index, std::string_view content) {
    Choice& choice = choices_[index];
    const std::string_view text = choice.has_text ? content : without_first_space(content);
    choice.has_text |= !text.empty();
    if (text.empty()) return true;
    return write(index, {{"content", text}}, logprobs_of(index, std::exchange(choice.untold, {})), nullptr);
  }
  // The scores of an echoed prompt are known only when the generation has ended: such an answer comes in one piece.
  bool holds_for_echo() const { return call_.logprobs && !call_.echo.empty(); }
  bool show_part(size_t index, const ToolCallReader::Part& part) {
    if (!show_content(index, part.content)) return false;
    if (!part.name.empty()) {
      const ordered_json call = {{"index", 0},
                                 {"id", random_call_id()},
                                 {"type", "function"},
                                 {"function", {{"name", part.name}, {"arguments", ""}}}};
      if (!write(index, {{"tool_calls", ordered_json::array({call})}}, nullptr, nullptr)) return false;
    }
    if (part.arguments.empty()) return true;
    const ordered_json more = {{"index", 0}, {"function", {{"arguments", part.arguments}}}};
    return write(index, {{"tool_calls", ordered_json::array({more})}}, nullptr, nullptr);
  }
  bool end(size_t index, const Generation& made) {
    if (holds_for_echo()) {
      const ordered_json choice = choice_of(call_, index, made);
      return write(index, choice["text"], choice["logprobs"], finish_name(call_, made.finish, false));
    }
    if (has_tools() && !show_part(index, choices_[index].reader.finish())) return false;
    const size_t told = std::min(choices_[index].told_tokens, made.tokens.size());  // tokens that gave no text
    const ordered_json rest =
        told < made.tokens.size() ? logprobs_of(index, std::span(made.tokens).subspan(told)) : ordered_json();
    return write(index, chat() ? ordered_json::object() : ordered_json(""), rest,
                 finish_name(call_, made.finish, choices_[index].reader.is_call()));
  }

  const CompletionCall& call_;
  StreamWriter& writer_;
  std::vector<Choice> choices_;
  std::string head_;
};

// What a generation can fail with once it has begun; `error` is for the client.
HttpError failure(const CompletionCall& call, const std::exception& error) {
  if (dynamic_cast<const ConfigError*>(&error)) return HttpError(400, "invalid_schema", error.what(), call.form_field);
  spdlog::error("generating with {}: {}", call.engine->name(), error.what());
  return HttpError(500, "internal_error", "the generation failed; the server's log says why");
}

Response answer(CompletionCall call) {
  if (!call.stream) {
    try {
      return answer_whole(call);
    } catch (const Error& error) {
      throw failure(call, error);
    }
  }
  Response response{.content_type = "text/event-stream"};
  response.stream = [call = std::move(call)](StreamWriter& writer) {
    try {
      EventStream(call, writer).run();
    } catch (const std::exception& error) {
      // The head with its 200 is out, so the error travels as an event, which OpenAI's clients throw.
      writer.write("data: " + error_body(failure(call, error)) + "\n\n");
    }
  };
  return response;
}

// 0 when it is there no more: a server keeps what it has loaded.
int64_t written_s(const std::filesystem::path& file) {
  std::error_code missing;
  const auto time = std::filesystem::last_write_time(file, missing);
  if (missing) return 0;
  return std::chrono::floor<std::chrono::seconds>(std::chrono::file_clock::to_sys(time)).time_since_epoch().count();
}

// Of a model's files config.json is the one that no import links to where it comes from.
ordered_json model_json(const Platform& platform, const std::string& name) {
  return {{"id", name},
          {"object", "model"},
          {"created", written_s(platform.workspace.model(name) / "config.json")},
          {"owned_by", "starling"}};
}

}  // namespace

Response list_models(Platform& platform, const Request&) {
  ordered_json data = ordered_json::array();
  for (const std::string& name : platform.models.names()) data.push_back(model_json(platform, name));
  return json_response(ordered_json{{"object", "list"}, {"data", std::move(data)}});
}

Response get_model(Platform& platform, const Request& request) {
  return json_response(model_json(platform, platform.models.find(request.parameters.at("model")).name()));
}

Response create_chat_completion(Platform& platform, const Request& request) {
  return answer(read_chat_call(platform, request));
}

Response create_completion(Platform& platform, const Request& request) {
  return answer(read_text_call(platform, request));
}

}  // namespace starling
