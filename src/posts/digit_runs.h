// Card and phone numbers: both are runs of digit groups, "+44 20 7946 0958" or "4111-1111-1111-1111".
#pragma once

#include <cstdint>
#include <string>

namespace starling {

// Replaces them by [CARD] and [PHONE] and counts them. URLs stay as they are.
std::string replace_digit_runs(const std::string& text, uint64_t& cards, uint64_t& phones);

}  // namespace starling
