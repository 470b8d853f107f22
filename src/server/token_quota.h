// How many tokens each API key may use in a day (UTC). A request takes the most that it can use before it begins and
// gives back what it did not, so requests that run at the same time cannot pass the limit together. What is taken is
// kept in the control database: a restart forgives nothing, and what a request had taken when the process was killed
// stays taken until the day ends. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "store/control_db.h"

namespace starling {

class TokenQuota {
 public:
  TokenQuota(ControlDb& control, int64_t tokens_per_day);  // of keys without a limit of their own; 0: no limit

  // What one request has taken; what it does not spend goes back when it ends.
  class Reservation {
   public:
    Reservation(const Reservation&) = delete;
    ~Reservation();
    int64_t granted() const { return granted_; }  // how many it may use
    void spend(int64_t tokens);                   // what it has used in the end

   private:
    friend class TokenQuota;
    Reservation(TokenQuota& quota, std::string key, int64_t day, int64_t granted, int64_t taken)
        : quota_(quota), key_(std::move(key)), day_(day), granted_(granted), taken_(taken) {}
    TokenQuota& quota_;
    const std::string key_;
    const int64_t day_, granted_;
    int64_t taken_;  // of the key's; none when it has no limit
  };

  // 0 when the key has a token left, else the seconds until it has some again.
  int64_t wait_s(const ApiKey& key, int64_t now_s);
  // Throws HttpError 429 when the key has fewer than `most` tokens left today.
  std::shared_ptr<Reservation> reserve(const ApiKey& key, int64_t most, int64_t now_s) {
    return reserve_up_to(key, most, most, now_s);
  }
  // `most`, or what is left when that is less. Throws HttpError 429 when fewer than `least` are left.
  std::shared_ptr<Reservation> reserve_up_to(const ApiKey& key, int64_t least, int64_t most, int64_t now_s);

 private:
  struct Day {
    int64_t day = -1, used = 0;
  };
  int64_t limit_of(const ApiKey& key) const;
  Day& today(const std::string& key, int64_t now_s);
  void keep(const std::string& key, const Day& day);
  void give_back(const std::string& key, int64_t day, int64_t tokens);

  ControlDb& control_;
  const int64_t tokens_per_day_;
  std::mutex mutex_;
  std::map<std::string, Day> used_;  // one for each key that resolves, so their number is bounded by the keys
};

}  // namespace starling
