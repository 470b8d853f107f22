// How many tokens each API key may use in a day (UTC). What is used is kept in the control database, so a restart
// forgives nothing. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace starling {

class ControlDb;

class TokenQuota {
 public:
  TokenQuota(ControlDb& control, int64_t tokens_per_day);  // 0: no limit, and nothing is kept

  // 0 when the key has tokens left, else the seconds until it has some again.
  int64_t wait_s(const std::string& key, int64_t now_s);
  void spend(const std::string& key, int64_t tokens, int64_t now_s);

 private:
  struct Day {
    int64_t day = -1, used = 0;
  };
  Day& today(const std::string& key, int64_t now_s);

  ControlDb& control_;
  const int64_t tokens_per_day_;
  std::mutex mutex_;
  std::map<std::string, Day> used_;  // one for each key that resolves, so their number is bounded by the keys
};

}  // namespace starling
