// A token bucket for each API key: `burst` requests at once, then `per_second` on average. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>

namespace starling {

class RateLimiter {
 public:
  RateLimiter(double per_second, double burst);

  // 0 when the request may pass, else the seconds until one may. `now_s` is monotonic.
  double take(const std::string& key, double now_s);

 private:
  struct Bucket {
    double tokens = 0, filled_s = 0;
  };
  const double per_second_, burst_;
  std::mutex mutex_;
  std::map<std::string, Bucket> buckets_;  // one for each key that resolves, so their number is bounded by the keys
};

}  // namespace starling
