#include "server/token_quota.h"

#include <soci/soci.h>

#include "store/control_db.h"

namespace starling {
namespace {

constexpr int64_t kDayS = 86'400;

}  // namespace

TokenQuota::TokenQuota(ControlDb& control, int64_t tokens_per_day)
    : control_(control), tokens_per_day_(tokens_per_day) {
  if (tokens_per_day_ == 0) return;
  control_.transaction([](soci::session& sql) {
    sql << "create table if not exists token_usage (key_name text primary key, day integer not null, used integer not "
           "null)";
  });
}

TokenQuota::Day& TokenQuota::today(const std::string& key, int64_t now_s) {
  const auto [known, is_new] = used_.try_emplace(key);
  Day& day = known->second;
  if (is_new) {
    control_.transaction([&](soci::session& sql) {
      long long kept_day = -1, kept_used = 0;
      sql << "select day, used from token_usage where key_name = :k", soci::into(kept_day), soci::into(kept_used),
          soci::use(key);
      if (sql.got_data()) day = {kept_day, kept_used};
    });
  }
  if (day.day != now_s / kDayS) day = {now_s / kDayS, 0};
  return day;
}

int64_t TokenQuota::wait_s(const std::string& key, int64_t now_s) {
  if (tokens_per_day_ == 0) return 0;
  std::lock_guard lock(mutex_);
  return today(key, now_s).used < tokens_per_day_ ? 0 : kDayS - now_s % kDayS;
}

void TokenQuota::spend(const std::string& key, int64_t tokens, int64_t now_s) {
  if (tokens_per_day_ == 0 || tokens == 0) return;
  std::lock_guard lock(mutex_);
  Day& day = today(key, now_s);
  day.used += tokens;
  const auto number = static_cast<long long>(day.day), used = static_cast<long long>(day.used);
  control_.transaction([&](soci::session& sql) {
    sql << "insert or replace into token_usage (key_name, day, used) values (:k, :d, :u)", soci::use(key),
        soci::use(number), soci::use(used);
  });
}

}  // namespace starling
