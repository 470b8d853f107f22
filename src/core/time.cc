#include "core/time.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>

namespace starling {
namespace {

using std::chrono::sys_days;

// Reads exactly `digits` decimal digits at the front of `text` and removes them.
std::optional<int> take_digits(std::string_view& text, size_t digits) {
  int value = 0;
  if (text.size() < digits) return std::nullopt;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// "", "Z", "+hh:mm", "+hhmm" or "+hh": seconds to subtract.
std::optional<int64_t> take_offset(std::string_view& text) {
  if (text.empty() || take(text, 'Z')) return 0;
  const int sign = text.front() == '-' ? -1 : 1;
  if (!take(text, '+') && !take(text, '-')) return std::nullopt;
  const auto hours = take_digits(text, 2);
  const auto minutes = text.empty() ? 0 : (take(text, ':'), take_digits(text, 2));
  if (!hours || !minutes || *hours > 15 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

}  // namespace

int64_t now_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double monotonic_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string format_day(int64_t time_s) {
  const auto days = std::chrono::floor<std::chrono::days>(std::chrono::sys_seconds(std::chrono::seconds(time_s)));
  const std::chrono::year_month_day date(days);
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

std::string format_time(int64_t time_s) {
  const int64_t second = ((time_s % kDay_s) + kDay_s) % kDay_s;
  return fmt::format("{}T{:02}:{:02}:{:02}Z", format_day(time_s), second / 3600, second / 60 % 60, second % 60);
}

std::optional<int64_t> parse_time(std::string_view text) {
  int64_t seconds = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (!text.empty() && code == std::errc() && stop == text.data() + text.size()) return seconds;

  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const int64_t midnight = std::chrono::duration_cast<std::chrono::seconds>(sys_days(date).time_since_epoch()).count();
  if (text.empty()) return midnight;

  if (!take(text, 'T') && !take(text, ' ')) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || *hour > 23 || *minute > 59) return std::nullopt;
  int second = 0;
  if (take(text, ':')) {
    const auto value = take_digits(text, 2);
    if (!value || *value > 60) return std::nullopt;
    second = *value;
    if (take(text, '.'))
      while (take_digits(text, 1)) {
      }
  }
  const auto offset = take_offset(text);
  if (!offset || !text.empty()) return std::nullopt;
  return midnight + *hour * 3600 + *minute * 60 + second - *offset;
}

}  // namespace starling
