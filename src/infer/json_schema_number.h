// Decimal numbers between two bounds, as a grammar: digit by digit, remembering whether the digits so far equal the
// bound's.
#pragma once

#include <optional>
#include <string>

#include "infer/grammar.h"

namespace starling {

struct Decimal {
  bool negative = false;
  std::string whole = "0", fraction;  // digits; no leading zeros, no trailing ones

  bool is_zero() const { return whole == "0" && fraction.empty(); }
};

Decimal parse_decimal(const std::string& json_number);  // "-1.5", "2e-3"

struct NumberBounds {
  std::optional<Decimal> least, most;
  bool least_exclusive = false, most_exclusive = false;
  int max_fraction_digits = 0;  // 0: whole numbers
  int multiple_of = 1;          // of whole numbers
};

// Without a bound a number has at most 15 digits, so that it is exact enough for any reader of JSON.
Grammar::Node append_number(Grammar& grammar, Grammar::Node from, const NumberBounds& bounds);

}  // namespace starling
