// One client's bytes, plain or over TLS: an asynchronous stream in the sense of Asio and Beast, with the time limits of
// beast::tcp_stream. Heavy to include; for http_server.cc alone.
#pragma once

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <optional>
#include <string>

namespace starling {

// TLS 1.2 or later, without compression or renegotiation. The files are PEM: a certificate with its chain, and its
// private key without a password. Throws IoError that names the file.
boost::asio::ssl::context tls_context(const std::string& certificate_file, const std::string& key_file);

class SocketStream {
 public:
  using executor_type = boost::beast::tcp_stream::executor_type;
  using ErrorCode = boost::system::error_code;

  // `tls` null: plain; else it must outlive the stream.
  SocketStream(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context* tls) : tcp_(std::move(socket)) {
    if (tls) tls_.emplace(tcp_, *tls);
  }

  executor_type get_executor() { return tcp_.get_executor(); }
  boost::asio::ip::tcp::socket& socket() { return tcp_.socket(); }
  bool has_tls() const { return tls_.has_value(); }
  void expires_after(std::chrono::milliseconds time) { tcp_.expires_after(time); }
  void close() { tcp_.close(); }

  boost::asio::awaitable<ErrorCode> begin();  // TLS's handshake; nothing when plain
  boost::asio::awaitable<void> end();         // tells the client that no more comes

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    const auto start = [this](auto handler, const Buffers& into) {
      if (tls_) tls_->async_read_some(into, std::move(handler));
      else tcp_.async_read_some(into, std::move(handler));
    };
    return boost::asio::async_initiate<Token, void(ErrorCode, size_t)>(start, token, buffers);
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    const auto start = [this](auto handler, const Buffers& from) {
      if (tls_) tls_->async_write_some(from, std::move(handler));
      else tcp_.async_write_some(from, std::move(handler));
    };
    return boost::asio::async_initiate<Token, void(ErrorCode, size_t)>(start, token, buffers);
  }

 private:
  boost::beast::tcp_stream tcp_;
  std::optional<boost::beast::ssl_stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace starling
