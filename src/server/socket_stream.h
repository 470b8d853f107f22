// One client's bytes, plain or over TLS, with the time limits of beast::tcp_stream. Reads and writes are functions, not
// templates for any completion token: those cost more than a minute of compile time. Heavy to include; for
// http_server.cc alone.
#pragma once

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace starling {

// TLS 1.2 or later, without compression or renegotiation. The files are PEM: a certificate with its chain, and its
// private key without a password. Throws IoError that names the file.
std::shared_ptr<boost::asio::ssl::context> tls_context(const std::string& certificate_file,
                                                       const std::string& key_file);

class SocketStream {
 public:
  using executor_type = boost::beast::tcp_stream::executor_type;
  using ErrorCode = boost::system::error_code;

  // `tls` null: plain.
  SocketStream(boost::asio::ip::tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> tls)
      : context_(std::move(tls)), tcp_(std::move(socket)) {
    if (context_) tls_.emplace(tcp_, *context_);
  }

  executor_type get_executor() { return tcp_.get_executor(); }
  boost::asio::ip::tcp::socket& socket() { return tcp_.socket(); }
  bool has_tls() const { return tls_.has_value(); }
  void expires_after(std::chrono::milliseconds time) { tcp_.expires_after(time); }
  void close() { tcp_.close(); }

  boost::asio::awaitable<ErrorCode> begin();  // TLS's handshake; nothing when plain
  boost::asio::awaitable<void> end();         // tells the client that no more comes

  struct Read {
    ErrorCode error;
    size_t size = 0;
  };
  boost::asio::awaitable<Read> read_some(boost::asio::mutable_buffer into);  // waits for at least one byte
  boost::asio::awaitable<ErrorCode> write(std::string_view bytes);           // all of them

 private:
  const std::shared_ptr<boost::asio::ssl::context> context_;  // this connection's, though new ones have another
  boost::beast::tcp_stream tcp_;
  std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace starling
