// Numbers with their units, currencies and bounds, and dates, found in ad text and in the values of facts alike.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "ads/text_scan.h"

namespace starling {

// How a number is meant: "12", "10-20", "up to 12", "from 12", "more than 12", "under 12", "about 12".
enum class Bound { exact, range, up_to, from, over, under, about };

inline constexpr std::string_view kEvery = "every";

// `low` and `high` are in the base unit of `dimension` (see ads/units.h); equal unless a range.
struct Quantity {
  size_t first = 0, last = 0;  // tokens it covers, its bound's words included
  Bound bound = Bound::exact;
  double low = 0, high = 0;
  std::string dimension;  // "mass", "currency USD", ...; empty when no known unit follows
  std::string counted;    // without a known unit: the next word in the singular ("3 bags": "bag")
  std::string rate;       // "month" in "12 USD per month"; kEvery of "every two weeks"
  std::string shown;      // as written
};

struct DateMention {
  size_t first = 0, last = 0;
  int year = 0, month = 0, day = 0;  // 0: not said
  bool ambiguous = false;            // 03/04/2026
  std::string bound;                 // the word before it that says which side of it is meant: "until"; "on" is none
  std::string shown;
};

struct Mentions {
  std::vector<Quantity> quantities;
  std::vector<DateMention> dates;
};

// Finds all of them, in order; a token belongs to one mention. `home_currency` decides what "$" means.
Mentions find_mentions(const std::vector<ScanToken>& tokens, std::string_view text, std::string_view home_currency);

// Whether a fact that says `attested` proves a claim that says `claimed` (same dimension; rates are the caller's).
// "up to 20" needs a fact of "up to 20", exactly 20, or a range that ends at 20; "more than 10" needs more than 10.
bool proves(const Quantity& attested, const Quantity& claimed);
bool proves(const DateMention& attested, const DateMention& claimed);

}  // namespace starling
