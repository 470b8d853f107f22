#include "server/http_server.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>

#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <set>
#include <thread>

#include "core/hash.h"
#include "core/time.h"
#include "server/exchange.h"
#include "server/socket_stream.h"
#include "server/worker_pool.h"

namespace starling {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr int kClientLeft = 499;  // nginx's number for it; only in metrics and logs
constexpr size_t kReadBytes = 16384;
constexpr auto kNextLook = std::chrono::milliseconds(100);  // at a client that sent more than its request

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

// A response that answers bytes which are not a request we can serve.
Response refusal_for(const error_code& error, const HttpOptions& options) {
  if (error == http::error::header_limit)
    return error_response(
        HttpError(431, "headers_too_large", fmt::format("headers may have {} bytes", options.max_header_bytes)));
  if (error == http::error::body_limit)
    return error_response(
        HttpError(413, "body_too_large", fmt::format("a body may have {} bytes", options.max_body_bytes)));
  return error_response(HttpError(400, "bad_request", "this is not an HTTP/1.1 request: " + error.message()));
}

// A client that left, or was too slow (its stream is closed then), gets no answer.
bool deserves_answer(const error_code& error) {
  if (error == http::error::end_of_stream || error == http::error::partial_message) return false;
  return error.category() == http::make_error_code(http::error::bad_method).category();
}

// The headers every response carries, unless the handler gave its own.
constexpr std::pair<const char*, const char*> kDefaultHeaders[] = {
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
    {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
    {"Cache-Control", "no-store"},
};

// The client has closed its half: it waits for nothing more. True too when bytes that it sent before are still unread.
bool hung_up(tcp::socket& socket) {
  pollfd state{socket.native_handle(), POLLRDHUP, 0};
  return ::poll(&state, 1, 0) != 0;
}

// Bodies are taken as they are: a compressed one would be read as JSON that is damaged.
std::optional<Response> refusal_of_coding(std::string_view coding) {
  if (coding.empty() || beast::iequals(coding, "identity")) return std::nullopt;
  return error_response(HttpError(415, "unsupported_encoding",
                                  fmt::format("a body in Content-Encoding {} is not read; send it as it is", coding)));
}

bool gives(const Response& response, std::string_view name) {
  return std::ranges::any_of(response.headers, [&](const auto& header) { return beast::iequals(header.first, name); });
}

// Up to and with the empty line; `payload` is the header that says how long the body is, or empty.
std::string head_text(const Response& response, std::string_view request_id, std::string_view payload,
                      bool keep_alive) {
  const auto reason = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status)));
  std::string text = fmt::format("HTTP/1.1 {} {}\r\nServer: starling\r\nx-request-id: {}\r\nContent-Type: {}\r\n",
                                 response.status, std::string_view(reason), request_id, response.content_type);
  const auto add = [&](std::string_view name, std::string_view value) {
    fmt::format_to(std::back_inserter(text), "{}: {}\r\n", name, value);
  };
  for (const auto& [name, value] : kDefaultHeaders)
    if (!gives(response, name)) add(name, value);
  for (const auto& [name, value] : response.headers) add(name, value);
  if (!keep_alive) add("Connection", "close");
  return text.append(payload).append("\r\n");
}

std::string chunk(std::string_view bytes) { return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes); }

}  // namespace

struct HttpServer::State {
  class Connection;

  State(const HttpOptions& o, Dispatcher d, OnFinished f)
      : options(o),
        dispatcher(std::move(d)),
        on_finished(std::move(f)),
        quick(o.quick_threads, o.max_queued_quick),
        generation(o.generation_threads, o.max_queued_generations) {}

  void bind();
  asio::awaitable<void> accept();
  void begin_stop();
  void forget(const std::shared_ptr<Connection>& connection);
  WorkerPool& pool(Lane lane) { return lane == Lane::generation ? generation : quick; }

  const HttpOptions options;
  const Dispatcher dispatcher;
  const OnFinished on_finished;
  std::shared_ptr<asio::ssl::context> tls;  // of the next connection; null: plain HTTP
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::steady_timer drain_timer{io};
  std::set<std::shared_ptr<Connection>> connections;  // I/O thread only
  std::atomic<int> connection_count{0};
  int port = 0;  // bound; the acceptor itself belongs to the I/O thread
  std::atomic<bool> stopping{false};
  // Pools after `io`: their threads end before what they post to. Keys are looked up on a thread of their own, so that
  // admission never waits behind a search.
  WorkerPool auth{1, 1024}, quick, generation;
  std::thread io_thread;
};

// One client. Lives on the I/O thread.
class HttpServer::State::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(State& server, tcp::socket socket)
      : server_(server), stream_(std::move(socket), server.tls), next_look_(server.io) {
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
  }

  asio::awaitable<void> run() {
    stream_.expires_after(milliseconds(server_.options.header_s));
    // Awaited outside conditions: GCC 12 loses its place in this coroutine otherwise.
    const error_code failed = co_await stream_.begin();
    for (bool more = !failed; more && !server_.stopping;) more = co_await serve_one();
    co_await stream_.end();
  }
  void close_if_idle() {
    if (idle_) stream_.close();
  }
  // A request that has no answer yet gets one that says why; one that is answered in part is cut off.
  void abort() {
    overdue_ = unanswered_;
    if (exchange_) exchange_->cancel();
    if (!overdue_) stream_.close();
    if (wake_) wake_->cancel();
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  asio::awaitable<bool> serve_one();  // false: the connection is over
  asio::awaitable<error_code> read_more();
  asio::awaitable<error_code> parse(Parser& parser, bool (Parser::*done)() const);
  asio::awaitable<error_code> read_head(Parser& parser);
  asio::awaitable<error_code> read_body(Parser& parser);
  asio::awaitable<std::optional<Response>> admit(const Dispatch& dispatch, Request& request);
  asio::awaitable<int> answer(const Dispatch& dispatch, Request& request, bool keep_alive);
  asio::awaitable<bool> respond(Response response, bool head_only, bool keep_alive);
  asio::awaitable<bool> respond_streamed(const Response& head, bool keep_alive);
  asio::awaitable<bool> refuse(Response response);
  asio::awaitable<bool> run_and_wait(WorkerPool& pool, std::function<void()> work);
  asio::awaitable<void> wait_for_worker() { co_await wake_->async_wait(kAwait); }
  void watch_for_disconnect();

  State& server_;
  SocketStream stream_;
  beast::flat_buffer buffer_;
  std::shared_ptr<Exchange> exchange_;        // of the request under way
  std::shared_ptr<asio::steady_timer> wake_;  // never expires; cancelled to wake the coroutine
  asio::steady_timer next_look_;
  asio::cancellation_signal stop_watching_;
  std::string request_id_;  // of the request that is read or answered
  bool idle_ = true, http_10_ = false;
  bool unanswered_ = false, overdue_ = false;  // a worker has the request; it has it at the end of a stop
};

asio::awaitable<error_code> HttpServer::State::Connection::read_more() {
  const auto [error, size] = co_await stream_.read_some(buffer_.prepare(kReadBytes));
  buffer_.commit(size);
  co_return error;
}

// Gives the parser what is buffered and then what arrives, until it is `done`.
asio::awaitable<error_code> HttpServer::State::Connection::parse(Parser& parser, bool (Parser::*done)() const) {
  while (!(parser.*done)()) {
    error_code error = http::error::need_more;
    if (buffer_.size() != 0) buffer_.consume(parser.put(buffer_.data(), error));
    if (!error) continue;
    // Content does not stay in the buffer. What does is a head, which has this limit too, or the line of a chunk or of
    // a trailer, which has none of its own.
    const auto most_waiting = static_cast<size_t>(server_.options.max_header_bytes);
    if (error == http::error::need_more && buffer_.size() > most_waiting) co_return http::error::header_limit;
    if (error == http::error::need_more) error = co_await read_more();
    if (error == asio::error::eof) {
      error = {};
      parser.put_eof(error);
    }
    if (error) co_return error;
  }
  co_return error_code();
}

asio::awaitable<error_code> HttpServer::State::Connection::read_head(Parser& parser) {
  if (buffer_.size() == 0) {
    idle_ = true;
    stream_.expires_after(milliseconds(server_.options.idle_s));
    const error_code error = co_await read_more();
    idle_ = false;
    if (error) co_return http::error::end_of_stream;  // nothing was asked, so there is nothing to answer
  }
  stream_.expires_after(milliseconds(server_.options.header_s));
  co_return co_await parse(parser, &Parser::is_header_done);
}

asio::awaitable<error_code> HttpServer::State::Connection::read_body(Parser& parser) {
  stream_.expires_after(milliseconds(server_.options.body_s));
  if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const error_code error = co_await stream_.write(kContinue);
    if (error) co_return error;
  }
  parser.eager(true);
  co_return co_await parse(parser, &Parser::is_done);
}

asio::awaitable<bool> HttpServer::State::Connection::serve_one() {
  Parser parser;
  parser.header_limit(static_cast<uint32_t>(server_.options.max_header_bytes));
  parser.body_limit(static_cast<uint64_t>(server_.options.max_body_bytes));
  request_id_ = "req_" + random_hex(12);
  if (const error_code error = co_await read_head(parser)) {
    if (!deserves_answer(error)) co_return false;
    Response refusal = refusal_for(error, server_.options);
    const Request unread{.id = request_id_};
    const std::string no_route;
    server_.on_finished({unread, no_route, refusal.status, 0});
    co_await refuse(std::move(refusal));
    co_return false;
  }
  const double start_s = monotonic_s();
  const auto& head = parser.get();
  http_10_ = head.version() < 11;
  Request request{.id = request_id_,
                  .method = head.method_string(),
                  .authorization = head[http::field::authorization],
                  .if_none_match = head[http::field::if_none_match],
                  .arrival_s = start_s};
  Dispatch dispatch;
  std::optional<Response> refused;
  try {
    parse_target(head.target(), request);
    dispatch = server_.dispatcher(request);
  } catch (const HttpError& error) {
    refused = error_response(error);
  }
  if (!refused) refused = co_await admit(dispatch, request);
  if (!refused) refused = refusal_of_coding(head[http::field::content_encoding]);
  int status = refused ? refused->status : 0;
  bool keep_alive = !server_.stopping && parser.keep_alive() && !http_10_;
  if (!refused && !parser.is_done()) {
    const error_code error = co_await read_body(parser);
    if (error && !deserves_answer(error)) co_return false;
    if (error) refused = refusal_for(error, server_.options);
  }
  if (refused) {
    status = refused->status;
    keep_alive = keep_alive && parser.is_done();
    const bool head_only = request.method == "HEAD";
    // Not one conditional expression: GCC 12 makes the temporaries of both arms when they await.
    if (keep_alive) keep_alive = co_await respond(std::move(*refused), head_only, true);
    else co_await refuse(std::move(*refused));
  } else {
    request.body = std::move(parser.get().body());
    status = co_await answer(dispatch, request, keep_alive);
  }
  server_.on_finished({request, dispatch.route, status, monotonic_s() - start_s});
  co_return keep_alive&& status != kClientLeft;
}

asio::awaitable<bool> HttpServer::State::Connection::run_and_wait(WorkerPool& pool, std::function<void()> work) {
  wake_ = std::make_shared<asio::steady_timer>(stream_.get_executor(), asio::steady_timer::time_point::max());
  const auto posted = [work = std::move(work), wake = wake_, &io = server_.io] {
    work();
    asio::post(io, [wake] { wake->cancel(); });
  };
  // The wake-up is posted to this thread, so it cannot come before the wait begins.
  if (!pool.try_post(posted)) co_return false;
  co_await wait_for_worker();
  co_return true;
}

asio::awaitable<std::optional<Response>> HttpServer::State::Connection::admit(const Dispatch& dispatch,
                                                                              Request& request) {
  if (!dispatch.admit) co_return std::nullopt;
  // Shared: should the connection be aborted while it waits, the worker still writes into something alive.
  const auto copy = std::make_shared<Request>(request);
  const auto refused = std::make_shared<std::optional<Response>>();
  const auto done = std::make_shared<std::atomic<bool>>(false);
  // A named function, not a lambda in the call: GCC 12 destroys such a temporary twice when the call awaits.
  std::function<void()> work = [admit = dispatch.admit, copy, refused, done] {
    try {
      *refused = admit(*copy);
    } catch (const std::exception& error) {
      spdlog::error("checking a key: {}", error.what());
      *refused =
          error_response(HttpError(500, "internal_error", "the server could not check the key; its log says why"));
    }
    *done = true;
  };
  const bool posted = co_await run_and_wait(server_.auth, std::move(work));
  if (!posted || !*done) co_return error_response(HttpError(503, "overloaded", "the server is busy; try again"));
  request = *copy;
  co_return std::move(*refused);
}

void HttpServer::State::Connection::watch_for_disconnect() {
  auto look_again = [self = shared_from_this(), exchange = exchange_](error_code error) {
    if (!error && self->exchange_ == exchange) self->watch_for_disconnect();
  };
  auto on_readable = [self = shared_from_this(), exchange = exchange_, look_again](error_code error) {
    if (error) return;
    if (hung_up(self->stream_.socket())) {
      exchange->cancel();
      if (self->exchange_ == exchange) self->wake_->cancel();
    } else if (self->exchange_ == exchange) {  // the next request, sent early, or TLS's word that an end follows
      self->next_look_.expires_after(kNextLook);
      self->next_look_.async_wait(asio::bind_cancellation_slot(self->stop_watching_.slot(), look_again));
    }
  };
  stream_.socket().async_wait(tcp::socket::wait_read,
                              asio::bind_cancellation_slot(stop_watching_.slot(), std::move(on_readable)));
}

asio::awaitable<int> HttpServer::State::Connection::answer(const Dispatch& dispatch, Request& request,
                                                           bool keep_alive) {
  const bool head_only = request.method == "HEAD";
  if (dispatch.lane == Lane::io) {
    Response response = answer_safely(dispatch.answer, request);
    const int status = response.status;
    co_return co_await respond(std::move(response), head_only, keep_alive) ? status : kClientLeft;
  }
  wake_ = std::make_shared<asio::steady_timer>(stream_.get_executor(), asio::steady_timer::time_point::max());
  exchange_ =
      std::make_shared<Exchange>([wake = wake_, &io = server_.io] { asio::post(io, [wake] { wake->cancel(); }); });
  request.cancelled = exchange_->cancelled();
  const auto work = [exchange = exchange_, answer = dispatch.answer, shared = std::make_shared<Request>(request)] {
    exchange->run(answer, *shared);
  };
  if (!server_.pool(dispatch.lane).try_post(work)) {
    HttpError busy(503, "overloaded", "the server has as much work queued as it may; try again in a moment");
    busy.retry_after_s = 1;
    co_return co_await respond(error_response(busy), head_only, keep_alive) ? busy.status : kClientLeft;
  }
  watch_for_disconnect();
  std::optional<Response> head;
  unanswered_ = true;
  while (!*exchange_->cancelled() && !(head = exchange_->take_head())) co_await wait_for_worker();
  unanswered_ = false;
  if (overdue_) head = error_response(HttpError(503, "shutting_down", "the server is stopping; try again in a moment"));
  const int status = head ? head->status : kClientLeft;
  bool sent = false;
  if (head && head->stream) sent = co_await respond_streamed(*head, keep_alive);
  else if (head) sent = co_await respond(std::move(*head), head_only, keep_alive);
  if (!sent) exchange_->cancel();
  stop_watching_.emit(asio::cancellation_type::all);
  exchange_.reset();
  co_return sent ? status : kClientLeft;
}

asio::awaitable<bool> HttpServer::State::Connection::respond(Response response, bool head_only, bool keep_alive) {
  stream_.expires_after(milliseconds(server_.options.write_s));
  const bool bodyless = response.status == 304 || response.status == 204;
  const std::string length = bodyless ? "" : fmt::format("Content-Length: {}\r\n", response.body.size());
  std::string text = head_text(response, request_id_, length, keep_alive);
  if (!head_only && !bodyless) text += response.body;
  const error_code error = co_await stream_.write(text);
  co_return !error;
}

asio::awaitable<bool> HttpServer::State::Connection::respond_streamed(const Response& head, bool keep_alive) {
  const std::string text =
      head_text(head, request_id_, http_10_ ? "" : "Transfer-Encoding: chunked\r\n", keep_alive && !http_10_);
  stream_.expires_after(milliseconds(server_.options.write_s));
  error_code error = co_await stream_.write(text);
  for (bool finished = false; !error && !finished;) {
    std::string pieces = exchange_->take(finished);
    const bool none = pieces.empty();
    if (!none && !http_10_) pieces = chunk(pieces);
    stream_.expires_after(milliseconds(server_.options.write_s));
    error = co_await stream_.write(pieces);
    if (*exchange_->cancelled()) co_return false;
    if (none && !finished) co_await wait_for_worker();
  }
  constexpr std::string_view kLastChunk = "0\r\n\r\n";
  if (!error && !http_10_) error = co_await stream_.write(kLastChunk);
  co_return !error;
}

// Answers, then reads and drops what the client still sends for a moment: closing with unread bytes would reset the
// connection, and the client might never see the answer.
asio::awaitable<bool> HttpServer::State::Connection::refuse(Response response) {
  if (!co_await respond(std::move(response), false, false)) co_return false;
  error_code ignored;
  if (!stream_.has_tls()) stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream_.expires_after(std::chrono::seconds(2));
  std::array<char, 16384> dropped;
  for (size_t total = 0; total < 16 * static_cast<size_t>(server_.options.max_body_bytes);) {
    const auto [error, size] = co_await stream_.read_some(asio::buffer(dropped));
    if (error) break;
    total += size;
  }
  co_return false;
}

void HttpServer::State::bind() {
  if (!options.tls_certificate.empty()) tls = tls_context(options.tls_certificate, options.tls_key);
  error_code error;
  const auto address = asio::ip::make_address(options.host, error);
  if (error)
    throw IoError(fmt::format("server.host \"{}\" is not an IP address; use 127.0.0.1, 0.0.0.0 or ::", options.host));
  const tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use)
    throw IoError(fmt::format("{}:{}: the port is in use; stop the program that has it or choose another with --port",
                              options.host, options.port));
  if (error) throw IoError(fmt::format("{}:{}: cannot listen: {}", options.host, options.port, error.message()));
  port = acceptor.local_endpoint().port();
}

void log_failure(const std::exception_ptr& failure) try {
  std::rethrow_exception(failure);
} catch (const std::exception& error) {
  spdlog::error("a connection ended by an exception: {}", error.what());
}

asio::awaitable<void> HttpServer::State::accept() {
  constexpr std::string_view kFull =
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: "
      "close\r\n\r\n"
      R"({"error":{"message":"too many connections","type":"service_unavailable_error","param":null,"code":"too_many_connections"}})";
  while (!stopping) {
    auto [error, socket] = co_await acceptor.async_accept(kAwait);
    if (error == asio::error::operation_aborted || stopping) co_return;
    if (error) {  // for example out of file descriptors: some will come back
      spdlog::warn("accepting a connection: {}", error.message());
      asio::steady_timer pause(io, std::chrono::milliseconds(100));
      co_await pause.async_wait(kAwait);
    } else if (connection_count >= options.max_connections) {
      socket.non_blocking(true, error);
      if (!tls) socket.write_some(asio::buffer(kFull), error);
      socket.shutdown(tcp::socket::shutdown_send, error);
    } else {
      auto connection = std::make_shared<Connection>(*this, std::move(socket));
      connections.insert(connection);
      ++connection_count;
      asio::co_spawn(io, connection->run(), [this, connection](const std::exception_ptr& failure) {
        forget(connection);
        if (failure) log_failure(failure);
      });
    }
  }
}

void HttpServer::State::forget(const std::shared_ptr<Connection>& connection) {
  connections.erase(connection);
  --connection_count;
  if (stopping && connections.empty()) drain_timer.cancel();
}

void HttpServer::State::begin_stop() {
  error_code ignored;
  acceptor.close(ignored);
  for (const auto& connection : connections) connection->close_if_idle();
  if (connections.empty()) return;
  drain_timer.expires_after(milliseconds(options.drain_s));
  drain_timer.async_wait([this](error_code error) {
    if (error) return;
    for (const auto& connection : connections) connection->abort();
  });
}

HttpServer::HttpServer(const HttpOptions& options, Dispatcher dispatcher, OnFinished on_finished)
    : state_(std::make_unique<State>(options, std::move(dispatcher), std::move(on_finished))) {
  state_->bind();
}

HttpServer::~HttpServer() { stop(); }

void HttpServer::start() {
  asio::co_spawn(state_->io, state_->accept(), asio::detached);
  state_->io_thread = std::thread([this] { state_->io.run(); });
}

void HttpServer::stop() {
  if (state_->stopping.exchange(true)) return;
  asio::post(state_->io, [this] { state_->begin_stop(); });
  if (state_->io_thread.joinable()) state_->io_thread.join();
  for (WorkerPool* pool : {&state_->auth, &state_->quick, &state_->generation}) pool->stop();
}

void HttpServer::renew_certificate() {
  const HttpOptions& options = state_->options;
  if (options.tls_certificate.empty()) return;
  auto renewed = tls_context(options.tls_certificate, options.tls_key);
  asio::post(state_->io, [this, renewed = std::move(renewed)] { state_->tls = renewed; });
}

int HttpServer::port() const { return state_->port; }
bool HttpServer::stopping() const { return state_->stopping; }
int HttpServer::connections() const { return state_->connection_count; }
size_t HttpServer::queued(Lane lane) const { return state_->pool(lane).queued(); }

}  // namespace starling
