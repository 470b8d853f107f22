#include "server/token_quota.h"

#include <fmt/format.h>
#include <soci/soci.h>

#include "core/time.h"
#include "server/http.h"

namespace starling {

TokenQuota::TokenQuota(ControlDb& control, int64_t tokens_per_day)
    : control_(control), tokens_per_day_(tokens_per_day) {
  control_.transaction([](soci::session& sql) {
    sql << "create table if not exists token_usage (key_name text primary key, day integer not null, used integer not "
           "null)";
  });
}

int64_t TokenQuota::limit_of(const ApiKey& key) const {
  return key.limits.tokens_per_day < 0 ? tokens_per_day_ : key.limits.tokens_per_day;
}

TokenQuota::Day& TokenQuota::today(const std::string& key, int64_t now_s) {
  if (!used_.contains(key)) {
    Day kept;
    control_.transaction([&](soci::session& sql) {
      long long kept_day = -1, kept_used = 0;
      sql << "select day, used from token_usage where key_name = :k", soci::into(kept_day), soci::into(kept_used),
          soci::use(key);
      if (sql.got_data()) kept = {kept_day, kept_used};
    });
    used_[key] = kept;
  }
  Day& day = used_.at(key);
  // A request that arrived just before midnight counts to the day that another has begun since.
  const int64_t number = now_s / kDay_s;
  if (day.day != number && day.day != number + 1) day = {number, 0};
  return day;
}

void TokenQuota::keep(const std::string& key, const Day& day) {
  const auto number = static_cast<long long>(day.day), used = static_cast<long long>(day.used);
  control_.transaction([&](soci::session& sql) {
    sql << "insert or replace into token_usage (key_name, day, used) values (:k, :d, :u)", soci::use(key),
        soci::use(number), soci::use(used);
  });
}

int64_t TokenQuota::wait_s(const ApiKey& key, int64_t now_s) {
  const int64_t limit = limit_of(key);
  if (limit == 0) return 0;
  std::lock_guard lock(mutex_);
  return today(key.name, now_s).used < limit ? 0 : kDay_s - now_s % kDay_s;
}

std::shared_ptr<TokenQuota::Reservation> TokenQuota::reserve_up_to(const ApiKey& key, int64_t least, int64_t most,
                                                                   int64_t now_s) {
  const int64_t limit = limit_of(key);
  const auto made = [&](int64_t day, int64_t granted, int64_t taken) {
    return std::shared_ptr<Reservation>(new Reservation(*this, key.name, day, granted, taken));
  };
  if (limit == 0 || most == 0) return made(0, most, 0);
  std::lock_guard lock(mutex_);
  Day& day = today(key.name, now_s);
  const int64_t left = std::max<int64_t>(0, limit - day.used);
  if (least > left) {
    HttpError spent(429, "insufficient_quota",
                    fmt::format("this request may use {} tokens, and the key has {} left of the {} it has for a day "
                                "(UTC); ask for fewer with `max_tokens`, or wait",
                                least, left, limit));
    spent.retry_after_s = static_cast<int>(kDay_s - now_s % kDay_s);
    throw spent;
  }
  const int64_t taken = std::min(most, left);
  keep(key.name, {day.day, day.used + taken});
  day.used += taken;
  return made(day.day, taken, taken);
}

// Of the day on which they were taken: another day began with none.
void TokenQuota::give_back(const std::string& key, int64_t day, int64_t tokens) {
  std::lock_guard lock(mutex_);
  Day& known = used_.at(key);
  if (known.day != day) return;
  keep(key, {day, known.used - tokens});
  known.used -= tokens;
}

void TokenQuota::Reservation::spend(int64_t tokens) {
  const int64_t unused = std::exchange(taken_, 0) - tokens;
  if (unused > 0) quota_.give_back(key_, day_, unused);
}

TokenQuota::Reservation::~Reservation() {
  try {
    spend(0);
  } catch (const std::exception&) {  // the tokens stay taken until the day ends
  }
}

}  // namespace starling
