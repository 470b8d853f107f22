// A request to /v1/chat/completions or /v1/completions, read and checked: what to generate, and how to answer. A
// parameter that we cannot honour is refused by name, not ignored.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "server/token_quota.h"
#include "server/tool_calls.h"

namespace starling {

class JsonBody;
struct Platform;
struct Request;

enum class ApiKind { chat, text };

struct CompletionCall {
  Platform* platform = nullptr;
  std::shared_ptr<Engine> engine;  // in memory until the answer is written
  ApiKind kind = ApiKind::chat;
  // One a choice: every prompt `n` times. A prompt is already tokenized: control tokens come from the template, never
  // from the messages.
  std::vector<GenerationRequest> requests;
  size_t n = 1;
  std::vector<std::string> echo;  // text of each prompt, when the answer begins with it
  bool logprobs = false;
  Tools tools;
  std::string form_field;  // of the request, which gives the answer's form; empty when nothing does
  bool stream = false, include_usage = false;
  std::string service_tier;  // as the answer says it: "default" or "flex"; empty when none was asked for
  std::shared_ptr<TokenQuota::Reservation> quota;  // the most tokens that it can use
  std::string id;
  int64_t created_s = 0;
  double start_s = 0;  // when the request arrived
};

// Both throw HttpError 400 (404 for an unknown model).
CompletionCall read_chat_call(Platform& platform, const Request& request);
CompletionCall read_text_call(Platform& platform, const Request& request);

// For whom, by the request's key, until when, as long as its client is there, and how urgently, by OpenAI's
// `service_tier`: "flex" is batch work, which runs in the room that the others leave; "auto", "default" and "priority"
// are interactive. Throws HttpError 400 for another.
Service service_of(const JsonBody& body, const Request& request);

// Token ids of `engine`, from a JSON list. Throws HttpError 400 that names `field`.
std::vector<TokenId> tokens_of(const nlohmann::json& list, const Engine& engine, const char* field);

}  // namespace starling
