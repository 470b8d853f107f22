#include "server/json_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "core/json.h"
#include "core/json_scan.h"
#include "server/http.h"

namespace starling {
namespace {

template <typename Json>
Response to_response(const Json& json, int status) {
  return {.status = status, .body = dump_json_lossy(json)};
}

// Most members of one object, counted as json_depth counts: without parsing, and repeated names too.
int most_members(std::string_view text) {
  std::vector<int> open{0};  // members of the arrays and objects around
  int most = 0;
  for_each_outside_strings(text, [&](char c) {
    if (c == '[' || c == '{') open.push_back(0);
    else if ((c == ']' || c == '}') && open.size() > 1) open.pop_back();
    else if (c == ':') most = std::max(most, ++open.back());
  });
  return most;
}

}  // namespace

HttpError wrong_field(const std::string& name, const std::string& wanted) {
  return HttpError(400, "invalid_field", fmt::format("`{}` must be {}", name, wanted), name);
}

JsonBody::JsonBody(std::string_view text) {
  if (json_depth(text) > kMaxJsonDepth)
    throw HttpError(400, "too_deep", fmt::format("the body's JSON is nested deeper than {} levels", kMaxJsonDepth));
  if (most_members(text) > kMaxJsonMembers)
    throw HttpError(400, "too_many_members", fmt::format("an object of the body has over {} members", kMaxJsonMembers));
  try {
    json_ = std::make_unique<nlohmann::json>(parse_json(text));  // also checks UTF-8
  } catch (const nlohmann::json::parse_error& error) {
    throw HttpError(400, "bad_json", fmt::format("the body is not JSON in UTF-8; the error is at byte {}", error.byte));
  } catch (const nlohmann::json::exception&) {
    throw HttpError(400, "bad_json", "the body has a number that is too large");
  }
  if (!json_->is_object()) throw HttpError(400, "bad_json", "the body must be a JSON object");
}

JsonBody::~JsonBody() = default;

const nlohmann::json* JsonBody::find(const char* name) const {
  const auto field = json_->find(name);
  return field == json_->end() || field->is_null() ? nullptr : &*field;
}

const nlohmann::json& JsonBody::require(const char* name) const {
  if (const nlohmann::json* field = find(name)) return *field;
  throw HttpError(400, "missing_field", fmt::format("the body has no `{}`", name), name);
}

std::string JsonBody::text(const char* name) const {
  require(name);
  std::string value = text(name, "");
  if (value.empty()) throw wrong_field(name, "a string that is not empty");
  return value;
}

std::string JsonBody::text(const char* name, const std::string& fallback) const {
  const nlohmann::json* field = find(name);
  if (!field) return fallback;
  if (!field->is_string()) throw wrong_field(name, "a string");
  return field->get<std::string>();
}

int64_t JsonBody::integer(const char* name, int64_t fallback, int64_t least, int64_t most) const {
  const nlohmann::json* field = find(name);
  if (!field) return fallback;
  const bool fits = field->is_number_integer() && !(field->is_number_unsigned() && field->get<uint64_t>() > INT64_MAX);
  if (!fits || field->get<int64_t>() < least || field->get<int64_t>() > most)
    throw wrong_field(name, fmt::format("a whole number from {} to {}", least, most));
  return field->get<int64_t>();
}

double JsonBody::number(const char* name, double fallback, double least, double most) const {
  const nlohmann::json* field = find(name);
  if (!field) return fallback;
  if (!field->is_number() || !(field->get<double>() >= least && field->get<double>() <= most))
    throw wrong_field(name, fmt::format("a number from {} to {}", least, most));
  return field->get<double>();
}

bool JsonBody::boolean(const char* name, bool fallback) const {
  const nlohmann::json* field = find(name);
  if (!field) return fallback;
  if (!field->is_boolean()) throw wrong_field(name, "true or false");
  return field->get<bool>();
}

int64_t query_integer(const Request& request, const char* name, int64_t fallback, int64_t least, int64_t most) {
  const auto field = request.query.find(name);
  if (field == request.query.end()) return fallback;
  const std::string& text = field->second;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    throw wrong_field(name, fmt::format("a whole number from {} to {}", least, most));
  return value;
}

std::string query_text(const Request& request, const char* name) {
  const auto field = request.query.find(name);
  return field == request.query.end() ? std::string() : field->second;
}

Response json_response(const nlohmann::json& json, int status) { return to_response(json, status); }
Response json_response(const nlohmann::ordered_json& json, int status) { return to_response(json, status); }

}  // namespace starling
