// One answer on its way from a worker thread to the I/O thread: first the head, then, when streamed, pieces of the
// body. The worker blocks while more than kMaxPending bytes wait for a slow client; cancel() frees it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/http.h"

namespace starling {

class Exchange final : public StreamWriter {
 public:
  static constexpr size_t kMaxPending = 256 << 10;

  // `wake` is called, from the worker thread, whenever take_head() or take() has something new.
  explicit Exchange(std::function<void()> wake) : wake_(std::move(wake)) {}

  // Worker thread: makes the answer; an exception becomes an error response, or ends the stream.
  void run(const std::function<Response(const Request&)>& answer, const Request& request);
  bool write(std::string_view piece) override;

  // I/O thread.
  std::optional<Response> take_head();
  std::string take(bool& finished);  // what is pending; `finished`: nothing follows it
  void cancel();
  std::shared_ptr<std::atomic<bool>> cancelled() const { return cancelled_; }

 private:
  const std::function<void()> wake_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::mutex mutex_;
  std::condition_variable room_;
  std::optional<Response> head_;
  std::string pending_;
  bool finished_ = false;
};

// Calls `answer`. HttpError becomes its response; any other exception is logged and becomes a 500 without details.
Response answer_safely(const std::function<Response(const Request&)>& answer, const Request& request);

}  // namespace starling
