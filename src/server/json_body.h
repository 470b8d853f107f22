// A request's JSON body: bounded nesting and members, valid UTF-8, and fields read with their type and range checked. A
// wrong one throws HttpError 400 that names the field. A field that is null counts as missing.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "server/http.h"

namespace starling {

inline constexpr int kMaxJsonDepth = 32;
inline constexpr int kMaxJsonMembers = 2048;  // of one object: JSON that keeps their order looks through all at each

HttpError wrong_field(const std::string& name, const std::string& wanted);  // 400: `name` must be ...

class JsonBody {
 public:
  explicit JsonBody(std::string_view text);  // must be an object
  ~JsonBody();

  const nlohmann::json& json() const { return *json_; }
  const nlohmann::json* find(const char* name) const;  // null when missing
  const nlohmann::json& require(const char* name) const;

  std::string text(const char* name) const;  // required, not empty
  std::string text(const char* name, const std::string& fallback) const;
  int64_t integer(const char* name, int64_t fallback, int64_t least, int64_t most) const;
  double number(const char* name, double fallback, double least, double most) const;
  bool boolean(const char* name, bool fallback) const;

 private:
  std::unique_ptr<nlohmann::json> json_;
};

// The same for a whole number in a URL's query.
int64_t query_integer(const Request& request, const char* name, int64_t fallback, int64_t least, int64_t most);
std::string query_text(const Request& request, const char* name);  // empty when missing

// A 200 (or `status`) with `json` as its body. Text that is not UTF-8 is repaired with U+FFFD rather than failing.
Response json_response(const nlohmann::json& json, int status = 200);
Response json_response(const nlohmann::ordered_json& json, int status = 200);

}  // namespace starling
