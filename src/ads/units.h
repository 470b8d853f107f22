// Units of measure, currencies and number words that ads use. A table is the whole of it: add a row to know a new one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace starling {

// `factor` turns a value into the dimension's base unit: kg is {"mass", 1000} (grams).
struct Unit {
  std::string dimension;
  double factor = 1;
};

std::optional<Unit> find_unit(std::string_view raw, std::string_view folded);  // `raw` tells Gb (bits) from GB (bytes)
// "$" "usd" "dollars" "euro" ... -> "USD"; `home` decides what the dollar sign means. "cents" is {home, 0.01}.
struct CurrencyWord {
  std::string code;
  double factor = 1;
};
std::optional<CurrencyWord> find_currency(std::string_view folded, std::string_view home);
std::optional<double> find_number_word(std::string_view folded);  // "seven", "dozen", "half", "twice"
std::optional<double> find_magnitude(std::string_view raw,
                                     std::string_view folded);           // "thousand", "million", "k", "bn"
std::optional<int> find_month(std::string_view folded);                  // 1..12
std::optional<std::string> find_period_adverb(std::string_view folded);  // "monthly" -> "month"

}  // namespace starling
