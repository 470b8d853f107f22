// Dates with English month names: RFC 5322 with its obsolete zones and two-digit years, asctime, and Twitter's order.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace starling {

// UTC seconds since 1970; none when it is not a date. Comments in parentheses are ignored; a zone that is not known is
// UTC.
std::optional<int64_t> parse_mail_date(std::string_view text);

}  // namespace starling
