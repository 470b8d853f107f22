#include "app/load_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <numeric>

#include "core/error.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/random.h"
#include "core/stop.h"
#include "core/time.h"

namespace starling {
namespace {

// One request on a connection of its own. HTTP/1.0: the body is not cut into chunks and ends with the connection.
class Stream {
 public:
  Stream(const LoadTarget& target, const LoadRequest& request, LoadResult& result, double start_s)
      : result_(result),
        start_s_(start_s),
        arrival_s_(target.clients > 0 ? monotonic_s() : start_s + request.arrival_s) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0)
      throw IoError(fmt::format("cannot make a socket: {}; raise the limit of open files", ::strerror(errno)));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(target.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      fail(fmt::format("127.0.0.1:{}: {}", target.port, ::strerror(errno)));
      return;
    }
    unsent_ = fmt::format(
        "POST /v1/completions HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n"
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        target.key, request.body.size(), request.body);
    ::fcntl(socket_, F_SETFL, O_NONBLOCK);
    send();
  }
  Stream(const Stream&) = delete;
  ~Stream() {
    if (socket_ >= 0) ::close(socket_);
  }

  bool ended() const { return ended_; }
  pollfd waiting() const {
    const short what = unsent_.empty() ? POLLIN : POLLIN | POLLOUT;
    return {socket_, what, 0};
  }

  void move_bytes() {
    if (!unsent_.empty()) send();
    char piece[65536];
    while (!ended_) {
      const ssize_t size = ::recv(socket_, piece, sizeof(piece), 0);
      if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (size <= 0) return fail("the server ended the connection early: " + buffer_.substr(0, 200));
      buffer_.append(piece, static_cast<size_t>(size));
      read_lines();
    }
  }

 private:
  void fail(std::string error) {
    ended_ = true;
    result_.error = std::move(error);
  }
  void send() {
    const ssize_t sent = ::send(socket_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return fail(::strerror(errno));
    if (sent > 0) unsent_.erase(0, static_cast<size_t>(sent));
  }
  void read_lines() {
    size_t begin = 0;
    for (size_t end; !ended_ && (end = buffer_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      std::string_view line(buffer_.data() + begin, end - begin);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (!has_status_) read_status(line);
      else if (line.starts_with("data: ")) read_event(line.substr(6));
    }
    buffer_.erase(0, begin);
  }
  void read_status(std::string_view line) {
    has_status_ = true;
    if (line.find(" 200 ") == std::string_view::npos) fail(std::string(line));
  }
  void read_event(std::string_view data) {
    const double now = monotonic_s();
    if (data == "[DONE]") {
      ended_ = result_.done = true;
      result_.end_s = now - start_s_;
      return;
    }
    const nlohmann::json event = try_parse_json(data);
    if (!event.is_object() || event.contains("error")) return fail(std::string(data.substr(0, 200)));
    if (event.contains("usage") && event["usage"].is_object()) {
      result_.prompt_tokens = event["usage"].value("prompt_tokens", 0);
      result_.completion_tokens = event["usage"].value("completion_tokens", 0);
    }
    for (const nlohmann::json& choice : event.value("choices", nlohmann::json::array())) {
      const std::string text = choice.value("text", "");
      if (text.empty()) continue;
      if (result_.text.empty()) result_.first_token_s = now - arrival_s_;
      else result_.token_gaps.push_back(now - last_s_);
      last_s_ = now;
      result_.text += text;
    }
  }

  LoadResult& result_;
  const double start_s_, arrival_s_;
  int socket_ = -1;
  std::string unsent_, buffer_;
  double last_s_ = 0;
  bool has_status_ = false, ended_ = false;
};

}  // namespace

double LoadResult::time_per_token_s() const {
  if (completion_tokens < 2) return 0;
  return std::accumulate(token_gaps.begin(), token_gaps.end(), 0.0) / (completion_tokens - 1);
}

std::vector<LoadResult> run_load(const LoadTarget& target, const std::vector<LoadRequest>& requests, double silence_s) {
  std::vector<LoadResult> results(requests.size());
  std::deque<std::unique_ptr<Stream>> streams;
  const double start_s = monotonic_s();
  double heard_s = start_s;
  Progress progress("Requests", requests.size(), "requests");
  for (size_t next = 0; next < requests.size() || !streams.empty();) {
    const auto may_begin = [&] {
      if (next == requests.size()) return false;
      if (target.clients > 0) return streams.size() < static_cast<size_t>(target.clients);
      return monotonic_s() - start_s >= requests[next].arrival_s;
    };
    for (; may_begin(); ++next)
      streams.push_back(std::make_unique<Stream>(target, requests[next], results[next], start_s));
    std::vector<pollfd> waiting;
    for (const auto& stream : streams) waiting.push_back(stream->waiting());
    double wait_s = 0.2;
    if (target.clients == 0 && next < requests.size())
      wait_s = std::clamp(start_s + requests[next].arrival_s - monotonic_s(), 0.0, wait_s);
    const timespec wait{0, static_cast<long>(wait_s * 1e9)};
    if (::ppoll(waiting.data(), waiting.size(), &wait, nullptr) > 0) heard_s = monotonic_s();
    for (size_t i = 0; i < waiting.size(); ++i)
      if (waiting[i].revents != 0) streams[i]->move_bytes();
    std::erase_if(streams, [](const auto& stream) { return stream->ended(); });
    if (streams.empty()) heard_s = monotonic_s();
    progress.update(next - streams.size());
    if (stop_requested()) throw Error("stopped before every request was answered");
    if (monotonic_s() - heard_s > silence_s)
      throw IoError(fmt::format("the server at 127.0.0.1:{} sent nothing for {} s", target.port, silence_s));
  }
  return results;
}

std::vector<double> poisson_arrivals(size_t count, double per_s, uint64_t seed) {
  std::vector<double> arrivals;
  double now = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const double uniform = (static_cast<double>(random_u64(seed, 1, i) >> 11) + 0.5) * 0x1p-53;  // in (0, 1)
    now -= std::log(uniform) / per_s;
    arrivals.push_back(now);
  }
  return arrivals;
}

LoadSummary summarize(const std::vector<LoadResult>& results, const LoadObjectives& objectives) {
  LoadSummary sum{.requests = results.size()};
  std::vector<double> first_ms, token_ms, gap_ms;
  double tokens = 0, good = 0;
  for (const LoadResult& result : results) {
    if (!result.done) {
      ++sum.failed;
      continue;
    }
    sum.seconds = std::max(sum.seconds, result.end_s);
    tokens += result.completion_tokens;
    first_ms.push_back(result.first_token_s * 1e3);
    token_ms.push_back(result.time_per_token_s() * 1e3);
    for (const double gap : result.token_gaps) gap_ms.push_back(gap * 1e3);
    good += first_ms.back() <= objectives.ttft_ms && token_ms.back() <= objectives.tpot_ms;
  }
  const auto per_s = [&](double count) { return sum.seconds > 0 ? count / sum.seconds : 0; };
  sum.requests_per_s = per_s(static_cast<double>(sum.requests - sum.failed));
  sum.tokens_per_s = per_s(tokens), sum.goodput_rps = per_s(good);
  sum.ttft_p50_ms = percentile(first_ms, 0.5), sum.ttft_p99_ms = percentile(first_ms, 0.99);
  sum.tpot_p50_ms = percentile(token_ms, 0.5), sum.tpot_p99_ms = percentile(token_ms, 0.99);
  sum.itl_p50_ms = percentile(gap_ms, 0.5), sum.itl_p99_ms = percentile(gap_ms, 0.99);
  return sum;
}

double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(p * static_cast<double>(values.size())));
  const auto nth = values.begin() + static_cast<long>(std::clamp<size_t>(rank, 1, values.size()) - 1);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

}  // namespace starling
