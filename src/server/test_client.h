// For the server's tests: a client that is only a socket, so that a test decides every byte and every pause.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace starling {

struct ClientResponse {
  int status = 0;                              // 0: the connection ended without a response
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class TestClient {
 public:
  explicit TestClient(int port) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  TestClient(const TestClient&) = delete;
  ~TestClient() { close(); }

  bool connected() const { return connected_; }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  // False when the server has closed the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // One more piece of what the server sends; false at its end. Fails the test when nothing comes for 20 s.
  bool receive() {
    pollfd waiting{socket_, POLLIN, 0};
    if (::poll(&waiting, 1, 20'000) <= 0) {
      ADD_FAILURE() << "the server sent nothing for 20 s";
      return false;
    }
    char piece[16384];
    const ssize_t size = ::recv(socket_, piece, sizeof(piece), 0);
    if (size > 0) buffer_.append(piece, static_cast<size_t>(size));
    return size > 0;
  }
  bool receive_until(std::string_view mark) {
    while (buffer_.find(mark) == std::string::npos)
      if (!receive()) return false;
    return true;
  }
  bool closed_by_server() {
    while (receive()) {
    }
    return true;
  }
  const std::string& received() const { return buffer_; }

  ClientResponse read_response(bool head_only = false) {
    ClientResponse response;
    if (!receive_until("\r\n\r\n")) return response;
    const size_t end = buffer_.find("\r\n\r\n");
    parse_head(buffer_.substr(0, end + 2), response);
    buffer_.erase(0, end + 4);
    if (head_only || response.status == 304) return response;
    if (response.headers.contains("content-length")) {
      const size_t size = std::stoul(response.headers["content-length"]);
      while (buffer_.size() < size && receive()) {
      }
      response.body = buffer_.substr(0, size);
      buffer_.erase(0, size);
    } else if (response.headers.contains("transfer-encoding")) {
      response.body = read_chunks();
    } else {
      closed_by_server();
      response.body = std::exchange(buffer_, {});
    }
    return response;
  }

  ClientResponse request(const std::string& method, const std::string& target, const std::string& key = {},
                         const std::string& body = {}, const std::string& more_headers = {}) {
    std::string head = method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + more_headers;
    if (!key.empty()) head += "Authorization: Bearer " + key + "\r\n";
    if (!body.empty() || method == "POST") head += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    send(head + "\r\n" + body);
    return read_response(method == "HEAD");
  }

 private:
  static void parse_head(const std::string& head, ClientResponse& response) {
    response.status = std::stoi(head.substr(9, 3));
    for (size_t begin = head.find("\r\n") + 2; begin < head.size();) {
      const size_t end = head.find("\r\n", begin), colon = head.find(": ", begin);
      std::string name = head.substr(begin, colon - begin);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      response.headers[name] = head.substr(colon + 2, end - colon - 2);
      begin = end + 2;
    }
  }

  std::string read_chunks() {
    std::string body;
    while (receive_until("\r\n")) {
      const size_t line = buffer_.find("\r\n");
      const size_t size = std::stoul(buffer_.substr(0, line), nullptr, 16);
      while (buffer_.size() < line + 2 + size + 2 && receive()) {
      }
      body += buffer_.substr(line + 2, size);
      buffer_.erase(0, line + 2 + size + 2);
      if (size == 0) break;
    }
    return body;
  }

  int socket_ = -1;
  bool connected_ = false;
  std::string buffer_;
};

// One request on a connection of its own.
inline ClientResponse fetch(int port, const std::string& method, const std::string& target, const std::string& key = {},
                            const std::string& body = {}) {
  return TestClient(port).request(method, target, key, body);
}

}  // namespace starling
