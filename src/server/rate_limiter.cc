#include "server/rate_limiter.h"

#include <algorithm>

namespace starling {

RateLimiter::RateLimiter(double per_second, double burst) : per_second_(per_second), burst_(burst) {}

double RateLimiter::take(const std::string& key, double now_s) {
  std::lock_guard lock(mutex_);
  Bucket& bucket = buckets_.try_emplace(key, Bucket{burst_, now_s}).first->second;
  bucket.tokens = std::min(burst_, bucket.tokens + (now_s - bucket.filled_s) * per_second_);
  bucket.filled_s = now_s;
  if (bucket.tokens < 1) return (1 - bucket.tokens) / per_second_;
  bucket.tokens -= 1;
  return 0;
}

}  // namespace starling
