#include "server/http.h"

#include <simdjson.h>

#include "core/json.h"

namespace starling {
namespace {

// The types that OpenAI's guide to error codes names.
const char* error_type(const HttpError& error) {
  if (error.status == 429) return error.code == "insufficient_quota" ? "insufficient_quota" : "rate_limit_error";
  if (error.status == 503) return "service_unavailable_error";
  return error.status >= 500 ? "server_error" : "invalid_request_error";
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1, low = high < 0 ? -1 : hex_digit(text[i + 2]);
      if (low < 0) throw HttpError(400, "bad_url", "the URL has a '%' that two hexadecimal digits do not follow");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  if (out.find('\0') != std::string::npos || !is_utf8(out))
    throw HttpError(400, "bad_url", "the URL is not valid UTF-8 text");
  return out;
}

// Calls visit(part) for each part of `text` between `separator`s.
template <typename Visit>
void split(std::string_view text, char separator, const Visit& visit) {
  for (size_t begin = 0;;) {
    const size_t end = text.find(separator, begin);
    visit(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return;
    begin = end + 1;
  }
}

}  // namespace

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

std::string error_body(const HttpError& error) {
  const auto or_null = [](const std::string& text) { return text.empty() ? nlohmann::json() : nlohmann::json(text); };
  const nlohmann::ordered_json body = {{"error",
                                        {{"message", error.what()},
                                         {"type", error_type(error)},
                                         {"param", or_null(error.param)},
                                         {"code", or_null(error.code)}}}};
  // An error may quote input: bytes that are not UTF-8 become U+FFFD.
  return dump_json_lossy(body);
}

Response error_response(const HttpError& error) {
  Response response{.status = error.status, .body = error_body(error)};
  if (error.retry_after_s > 0) response.headers.emplace_back("Retry-After", std::to_string(error.retry_after_s));
  if (error.status == 415) response.headers.emplace_back("Accept-Encoding", "identity");
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

void parse_target(std::string_view target, Request& request) {
  if (target.empty() || target.front() != '/')
    throw HttpError(400, "bad_url", "the URL must be a path that begins with '/'");
  const size_t question = target.find('?');
  request.path.clear();
  split(target.substr(1, question == std::string_view::npos ? question : question - 1), '/',
        [&](std::string_view segment) { request.path.push_back(percent_decode(segment, false)); });
  if (question == std::string_view::npos) return;
  split(target.substr(question + 1), '&', [&](std::string_view pair) {
    if (pair.empty()) return;
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    request.query[percent_decode(pair.substr(0, equals), true)] = percent_decode(value, true);
  });
}

}  // namespace starling
