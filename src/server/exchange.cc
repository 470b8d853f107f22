#include "server/exchange.h"

#include <spdlog/spdlog.h>

namespace starling {

Response answer_safely(const std::function<Response(const Request&)>& answer, const Request& request) try {
  return answer(request);
} catch (const HttpError& error) {
  return error_response(error);
} catch (const std::exception& error) {
  spdlog::error("{} {}: {}", request.method, request.path.empty() ? "" : request.path.back(), error.what());
  return error_response(HttpError(500, "internal_error", "the server failed at this request; its log says why"));
}

void Exchange::run(const std::function<Response(const Request&)>& answer, const Request& request) {
  if (*cancelled_) return;  // the client left while the request was queued
  Response head = answer_safely(answer, request);
  const auto stream = std::move(head.stream);
  head.stream = stream ? [](StreamWriter&) {} : decltype(head.stream)();
  {
    std::lock_guard lock(mutex_);
    head_ = std::move(head);
    finished_ = !stream;
  }
  wake_();
  if (!stream) return;
  try {
    stream(*this);
  } catch (const std::exception& error) {
    spdlog::error("{} {}: the stream ended early: {}", request.method, request.path.empty() ? "" : request.path.back(),
                  error.what());
  }
  {
    std::lock_guard lock(mutex_);
    finished_ = true;
  }
  wake_();
}

bool Exchange::write(std::string_view piece) {
  {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return *cancelled_ || pending_.size() < kMaxPending; });
    if (*cancelled_) return false;
    pending_ += piece;
  }
  wake_();
  return true;
}

std::optional<Response> Exchange::take_head() {
  std::lock_guard lock(mutex_);
  return std::exchange(head_, std::nullopt);
}

std::string Exchange::take(bool& finished) {
  std::lock_guard lock(mutex_);
  finished = finished_;
  room_.notify_all();
  return std::exchange(pending_, {});
}

void Exchange::cancel() {
  std::lock_guard lock(mutex_);
  *cancelled_ = true;
  room_.notify_all();
}

}  // namespace starling
