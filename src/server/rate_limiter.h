// A token bucket for each API key: `burst` requests at once, then `per_second` on average. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "store/control_db.h"

namespace starling {

class RateLimiter {
 public:
  RateLimiter(double per_second, double burst);

  // 0 when the request may pass, else the seconds until one may. `now_s` is monotonic. A key with a rate of its own may
  // send at once what it may send in as many seconds as the others, and one request in any case.
  double take(const ApiKey& key, double now_s);

 private:
  struct Bucket {
    double tokens = 0, filled_s = 0;
  };
  const double per_second_, burst_;
  std::mutex mutex_;
  std::map<std::string, Bucket> buckets_;  // one for each key that resolves, so their number is bounded by the keys
};

}  // namespace starling
