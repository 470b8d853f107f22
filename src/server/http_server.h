// HTTP/1.1 on one socket, plain or over TLS: limits, time-outs, streaming, graceful stop. It knows nothing of routes,
// keys or bodies' meaning.
//
// One I/O thread moves bytes; everything that may block runs on a lane of worker threads behind a bounded queue. A
// request:
//   head read -> dispatch (I/O thread) -> admit (auth lane) -> body read -> answer (its lane) -> response written
// A request that is refused by `admit` is answered before its body is read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http.h"

namespace starling {

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                       // 0: any free port
  std::string tls_certificate, tls_key;  // PEM files; empty: plain HTTP
  int64_t max_body_bytes = 1 << 20;
  int64_t max_header_bytes = 16 << 10;
  int max_connections = 256;          // one more is answered 503 and closed
  double idle_s = 60;                 // between requests of one connection
  double header_s = 10, body_s = 30;  // from the first byte of a head or body to its last
  double write_s = 30;                // for one piece of a response
  double drain_s = 10;                // requests under way have this long when the server stops
  int quick_threads = 4, max_queued_quick = 256;
  int generation_threads = 32, max_queued_generations = 64;
};

// Where a request's answer runs.
enum class Lane {
  io,          // on the I/O thread: must not block
  quick,       // reads, writes, searches
  generation,  // language model: few at once, short queue
};

struct Dispatch {
  std::string route;  // its pattern, for metrics and logs
  Lane lane = Lane::quick;
  std::function<std::optional<Response>(Request&)> admit;  // a refusal, or none; null: nothing to check. Must not throw
  std::function<Response(const Request&)> answer;          // must not throw
};

struct FinishedRequest {
  const Request& request;
  const std::string& route;  // empty when no route was reached
  int status;                // 499: the client left before its answer was ready
  double seconds;
};

class HttpServer {
 public:
  using Dispatcher = std::function<Dispatch(Request& head)>;
  using OnFinished = std::function<void(const FinishedRequest&)>;

  // Binds at once: throws IoError when the port is in use or TLS's files are not right. Clients connect from then on
  // and are served from start() on.
  HttpServer(const HttpOptions& options, Dispatcher dispatcher, OnFinished on_finished);
  ~HttpServer();  // stops

  void start();
  // Accepts no more, ends idle connections, gives requests under way `drain_s` seconds, then cancels them: one that has
  // no answer yet gets 503. Returns when every thread has ended. Idempotent.
  void stop();

  // Reads TLS's files again: connections that are accepted from now on get what they hold, older ones keep theirs.
  // Throws IoError that names the file when they are not right, and then nothing changes. Nothing to do without TLS.
  void renew_certificate();

  int port() const;
  bool stopping() const;
  int connections() const;
  size_t queued(Lane lane) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling
