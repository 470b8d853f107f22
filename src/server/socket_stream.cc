#include "server/socket_stream.h"

#include <fmt/format.h>

#include "core/error.h"

namespace starling {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr auto kLastWord = std::chrono::seconds(2);  // for the client's part of TLS's goodbye

void require_file(const char* setting, const std::string& file, const boost::system::error_code& error) {
  if (!error) return;
  throw IoError(fmt::format("{} \"{}\": {}; it must be a PEM file that this user may read, a key without a password",
                            setting, file, error.message()));
}

}  // namespace

std::shared_ptr<ssl::context> tls_context(const std::string& certificate_file, const std::string& key_file) {
  const auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  boost::system::error_code error;
  // Without this a key that has a password would be asked for on the terminal.
  context->set_password_callback([](size_t, ssl::context::password_purpose) { return std::string(); });
  context->use_certificate_chain_file(certificate_file, error);
  require_file("server.tls_certificate", certificate_file, error);
  context->use_private_key_file(key_file, ssl::context::pem, error);  // also checks that it is the certificate's
  require_file("server.tls_key", key_file, error);
  return context;
}

asio::awaitable<SocketStream::ErrorCode> SocketStream::begin() {
  if (!tls_) co_return ErrorCode();
  auto [error] = co_await tls_->async_handshake(ssl::stream_base::server, kAwait);
  co_return error;
}

// Branches, not conditional expressions: GCC 12 makes the temporaries of both arms when they await.
asio::awaitable<SocketStream::Read> SocketStream::read_some(asio::mutable_buffer into) {
  if (tls_) {
    auto [error, size] = co_await tls_->async_read_some(asio::mutable_buffers_1(into), kAwait);
    co_return Read{error, size};
  }
  auto [error, size] = co_await tcp_.async_read_some(asio::mutable_buffers_1(into), kAwait);
  co_return Read{error, size};
}

asio::awaitable<SocketStream::ErrorCode> SocketStream::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const asio::const_buffers_1 rest(bytes.data(), bytes.size());
    Read written;
    if (tls_) std::tie(written.error, written.size) = co_await tls_->async_write_some(rest, kAwait);
    else std::tie(written.error, written.size) = co_await tcp_.async_write_some(rest, kAwait);
    if (written.error) co_return written.error;
    bytes.remove_prefix(written.size);
  }
  co_return ErrorCode();
}

asio::awaitable<void> SocketStream::end() {
  if (tls_) {
    tcp_.expires_after(kLastWord);
    co_await tls_->async_shutdown(kAwait);
  }
  ErrorCode ignored;
  tcp_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
}

}  // namespace starling
