#include "server/rate_limiter.h"

#include <algorithm>

namespace starling {

RateLimiter::RateLimiter(double per_second, double burst) : per_second_(per_second), burst_(burst) {}

double RateLimiter::take(const ApiKey& key, double now_s) {
  const bool own = key.limits.requests_per_second > 0;
  const double per_second = own ? key.limits.requests_per_second : per_second_;
  const double burst = own ? std::max(1.0, per_second * burst_ / per_second_) : burst_;
  std::lock_guard lock(mutex_);
  Bucket& bucket = buckets_.try_emplace(key.name, Bucket{burst, now_s}).first->second;
  bucket.tokens = std::min(burst, bucket.tokens + (now_s - bucket.filled_s) * per_second);
  bucket.filled_s = now_s;
  if (bucket.tokens < 1) return (1 - bucket.tokens) / per_second;
  bucket.tokens -= 1;
  return 0;
}

}  // namespace starling
