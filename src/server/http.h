// What a route handler sees of HTTP: a request, a response, and the writer of a streamed response. No network library
// here.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "store/control_db.h"

namespace starling {

struct Request {
  std::string id;                            // the answer's x-request-id, by which its line in the log is found
  std::string method;                        // "GET", "POST", ...
  std::vector<std::string> path;             // percent-decoded segments: "/v1/posts/a%2Fb" -> {"v1", "posts", "a/b"}
  std::map<std::string, std::string> query;  // decoded; of a repeated name the last wins
  std::map<std::string, std::string> parameters;  // what the route's {names} matched
  std::string authorization;                      // the header's value
  std::string if_none_match;                      // the header's value
  std::string body;
  ApiKey key;            // whose request it is; set by authorization
  double arrival_s = 0;  // monotonic: when its head had been read; the body and the wait for a thread come after it
  // True once the client has gone: long work looks at it and ends early. Never null inside a handler.
  std::shared_ptr<const std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
};

// Writes the body of a streamed response, piece by piece, from a worker thread.
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;
  // Blocks while the client reads slower than we write; false when the client is gone: then stop.
  virtual bool write(std::string_view piece) = 0;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::function<void(StreamWriter&)> stream;  // when set, makes the body instead of `body`, on the worker thread
};

// Ends a request with an error in OpenAI's shape. Thrown by handlers, caught where the handler is called.
struct HttpError : Error {
  HttpError(int status_code, std::string error_code, const std::string& message, std::string parameter = {})
      : Error(message), status(status_code), code(std::move(error_code)), param(std::move(parameter)) {}
  int status;
  std::string code;   // "model_not_found"; for programs
  std::string param;  // the field of the body that is wrong, empty when none
  int retry_after_s = 0;
};

// {"error":{"message","type","param","code"}}; `type` follows from the status and the code, as OpenAI's does.
Response error_response(const HttpError& error);
std::string error_body(const HttpError& error);

// Splits and decodes "/v1/posts/a%20b?limit=1" into request.path and request.query.
// Throws HttpError 400 for a broken escape, a NUL, or bytes that are not UTF-8.
void parse_target(std::string_view target, Request& request);

bool is_utf8(std::string_view text);

}  // namespace starling
