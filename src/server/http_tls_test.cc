// The same server over TLS: what differs is how bytes travel, how a client is noticed to have left, and who is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <filesystem>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "server/http_server.h"
#include "server/test_client.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A new key, and a certificate for it that it signs itself.
void write_certificate(const fs::path& certificate_file, const fs::path& key_file) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("starling"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_sign(certificate, key, EVP_sha256());
  FILE* file = std::fopen(certificate_file.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = std::fopen(key_file.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

// Trusts one certificate.
class TlsClient {
 public:
  TlsClient(int port, const fs::path& trusted, int newest_version = TLS1_3_VERSION)
      : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_load_verify_locations(context_, trusted.c_str(), nullptr);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_security_level(context_, 0);  // else the client itself would not offer what the server must refuse
    SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_, newest_version);
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval patience{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, socket_);
    connected_ = SSL_connect(ssl_) == 1;
  }
  TlsClient(const TlsClient&) = delete;
  ~TlsClient() {
    if (connected_) SSL_shutdown(ssl_);  // says goodbye, then closes: two things for the server to notice
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    ::close(socket_);
  }

  bool connected() const { return connected_; }
  void send(std::string_view bytes) {
    EXPECT_EQ(SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())), static_cast<int>(bytes.size()));
  }
  bool receive() {
    char piece[16384];
    const int size = SSL_read(ssl_, piece, sizeof(piece));
    if (size > 0) received_.append(piece, static_cast<size_t>(size));
    else whole_ = SSL_get_error(ssl_, size) == SSL_ERROR_ZERO_RETURN;
    return size > 0;
  }
  const std::string& receive_all() {
    while (receive()) {
    }
    return received_;
  }
  const std::string& received() const { return received_; }
  bool whole() const { return whole_; }  // the server said that no more comes: nobody cut it off

 private:
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  int socket_ = -1;
  bool connected_ = false, whole_ = false;
  std::string received_;
};

class HttpTlsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("starling-tls-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    options_ = {.port = 0, .tls_certificate = folder_ / "certificate.pem", .tls_key = folder_ / "key.pem"};
    write_certificate(options_.tls_certificate, options_.tls_key);
  }
  void TearDown() override {
    server_.reset();
    fs::remove_all(folder_);
  }
  void start() {
    server_ = std::make_unique<HttpServer>(
        options_, [this](Request& head) { return dispatch(head); }, [](const FinishedRequest&) {});
    server_->start();
  }
  TlsClient client() { return {server_->port(), options_.tls_certificate}; }

  Dispatch dispatch(Request& head) {
    Dispatch found{.route = head.path.front(), .lane = Lane::generation};
    if (found.route == "echo") found.answer = [](const Request& request) { return Response{.body = request.body}; };
    if (found.route == "stream") {
      found.answer = [](const Request&) {
        Response response{.content_type = "text/event-stream"};
        response.stream = [](StreamWriter& writer) {
          for (int i = 0; i < 100; ++i) writer.write(std::string(1000, static_cast<char>('a' + i % 26)) + "\n");
        };
        return response;
      };
    }
    if (found.route == "block") {
      found.answer = [this](const Request& request) {
        ++blocked_;
        while (!*request.cancelled) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        ++cancelled_;
        return Response{};
      };
    }
    return found;
  }
  template <typename Condition>
  static bool eventually(const Condition& condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return condition();
  }
  std::string error_at_start() {
    try {
      start();
      return "started";
    } catch (const IoError& error) {
      return error.what();
    }
  }

  fs::path folder_;
  HttpOptions options_;
  std::unique_ptr<HttpServer> server_;
  std::atomic<int> blocked_{0}, cancelled_{0};
};

TEST_F(HttpTlsTest, BodiesStreamsAndConnectionsThatGoOnAreAsWithoutIt) {
  start();
  const std::string body(300'000, 'b');  // many TLS records
  TlsClient one = client();
  ASSERT_TRUE(one.connected());
  one.send("POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nfirst");
  one.send("POST /echo HTTP/1.1\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n" + body);
  EXPECT_THAT(one.receive_all(), HasSubstr("\r\n\r\nfirstHTTP/1.1 200 OK"));
  EXPECT_TRUE(one.received().ends_with("\r\n\r\n" + body));
  EXPECT_TRUE(one.whole());

  TlsClient streamed = client();
  streamed.send("GET /stream HTTP/1.0\r\n\r\n");
  const std::string& text = streamed.receive_all();
  EXPECT_EQ(text.size() - text.find("\r\n\r\n") - 4, 100'100u);
  EXPECT_TRUE(streamed.whole()) << "a stream that ends with its connection must not look cut off";
}

TEST_F(HttpTlsTest, AClientThatLeavesCancelsItsRequest) {
  start();
  {
    TlsClient leaving = client();
    leaving.send("GET /block HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(eventually([&] { return blocked_ == 1; }));
  }
  EXPECT_TRUE(eventually([&] { return cancelled_ == 1; }));
  EXPECT_TRUE(eventually([&] { return server_->connections() == 0; }));
}

TEST_F(HttpTlsTest, ARefusalIsReadWholeThoughTheBodyWasNot) {
  options_.max_body_bytes = 1000;
  start();
  TlsClient large = client();
  large.send("POST /echo HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + std::string(5000, 'x'));
  while (large.received().find("body_too_large") == std::string::npos && large.receive()) {
  }
  EXPECT_TRUE(large.received().starts_with("HTTP/1.1 413 ")) << large.received();
}

TEST_F(HttpTlsTest, OldVersionsPlainHttpAndSilenceAreRefused) {
  options_.header_s = 0.3;
  start();
  EXPECT_FALSE(TlsClient(server_->port(), options_.tls_certificate, TLS1_1_VERSION).connected());
  TestClient plain(server_->port()), silent(server_->port());
  plain.send("GET /echo HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(plain.closed_by_server());
  EXPECT_THAT(plain.received(), testing::Not(HasSubstr("HTTP")));
  EXPECT_TRUE(silent.closed_by_server());
  EXPECT_TRUE(client().connected());
  EXPECT_EQ(blocked_, 0);
}

// What the server answers on a connection that stays open.
std::string answer_of(TlsClient& client) {
  const size_t begin = client.received().size();
  client.send("POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nstill");
  while (!std::string_view(client.received()).substr(begin).ends_with("still") && client.receive()) {
  }
  return client.received().substr(begin);
}

TEST_F(HttpTlsTest, ARenewedCertificateIsForNewConnectionsAndDropsNone) {
  start();
  TlsClient open = client();
  EXPECT_THAT(answer_of(open), HasSubstr("200 OK"));
  const fs::path old = folder_ / "old.pem";
  fs::copy_file(options_.tls_certificate, old);
  write_certificate(options_.tls_certificate, options_.tls_key);
  EXPECT_FALSE(client().connected()) << "not before it is told";
  server_->renew_certificate();
  TlsClient after = client();
  EXPECT_TRUE(after.connected());
  EXPECT_THAT(answer_of(after), HasSubstr("200 OK"));
  EXPECT_FALSE(TlsClient(server_->port(), old).connected()) << "new connections get the new one alone";
  EXPECT_THAT(answer_of(open), HasSubstr("200 OK")) << "the connection from before";
}

TEST_F(HttpTlsTest, ARenewalThatFailsNamesTheFileAndKeepsTheOldOne) {
  start();
  const fs::path old = folder_ / "old.pem";
  fs::copy_file(options_.tls_certificate, old);
  const auto error_of_renewal = [this] {
    try {
      server_->renew_certificate();
    } catch (const IoError& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  write_certificate(options_.tls_certificate, folder_ / "another.pem");
  EXPECT_THAT(error_of_renewal(), testing::AllOf(HasSubstr("key.pem"), HasSubstr("mismatch")));
  write_file_atomic(options_.tls_certificate, "damaged");
  EXPECT_THAT(error_of_renewal(), HasSubstr("certificate.pem"));
  fs::remove(options_.tls_certificate);
  EXPECT_THAT(error_of_renewal(), HasSubstr("certificate.pem"));
  EXPECT_TRUE(TlsClient(server_->port(), old).connected());
}

TEST_F(HttpTlsTest, AFileThatIsMissingOrNoPairIsNamed) {
  const std::string key = read_file(options_.tls_key);
  write_certificate(folder_ / "other.pem", options_.tls_key);
  EXPECT_THAT(error_at_start(), testing::AllOf(HasSubstr("server.tls_key"), HasSubstr("key.pem")));
  fs::remove(options_.tls_key);
  EXPECT_THAT(error_at_start(), testing::AllOf(HasSubstr("server.tls_key"), HasSubstr("key.pem")));
  write_file_atomic(options_.tls_key, key);
  write_file_atomic(options_.tls_certificate, key);
  EXPECT_THAT(error_at_start(), testing::AllOf(HasSubstr("server.tls_certificate"), HasSubstr("certificate.pem")));
}

}  // namespace
}  // namespace starling
