// Times are UTC seconds since 1970 (`time_s`), written as ISO 8601: 2017-03-01T12:00:00Z.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace starling {

inline constexpr int64_t kDay_s = 86400;

int64_t now_s();                          // wall clock
double monotonic_s();                     // for durations
std::string format_time(int64_t time_s);  // 2017-03-01T12:00:00Z
std::string format_day(int64_t time_s);   // 2017-03-01
// Accepts 2017-03-01, 2017-03-01T12:00:00[.fff][Z|+hh[:mm]], the same with a space, and whole seconds since 1970.
std::optional<int64_t> parse_time(std::string_view text);

}  // namespace starling
