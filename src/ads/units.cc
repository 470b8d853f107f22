#include "ads/units.h"

#include <unicode/ucurr.h>
#include <unicode/unistr.h>

#include <array>
#include <map>

namespace starling {
namespace {

struct UnitRow {
  std::string_view names;  // separated by spaces
  std::string_view dimension;
  double factor;
};

constexpr std::array kUnits = {
    UnitRow{"g gram grams gramme grammes", "mass", 1},
    UnitRow{"kg kilo kilos kilogram kilograms", "mass", 1000},
    UnitRow{"mg milligram milligrams", "mass", 0.001},
    UnitRow{"t tonne tonnes", "mass", 1e6},
    UnitRow{"lb lbs pound-mass", "mass", 453.59237},
    UnitRow{"oz ounce ounces", "mass", 28.349523125},
    UnitRow{"mm millimetre millimetres millimeter millimeters", "length", 0.001},
    UnitRow{"cm centimetre centimetres centimeter centimeters", "length", 0.01},
    UnitRow{"m metre metres meter meters", "length", 1},
    UnitRow{"km kilometre kilometres kilometer kilometers", "length", 1000},
    UnitRow{"inch inches in \" ″", "length", 0.0254},
    UnitRow{"ft foot feet", "length", 0.3048},
    UnitRow{"mile miles mi", "length", 1609.344},
    UnitRow{"ml millilitre millilitres milliliter milliliters", "volume", 0.001},
    UnitRow{"cl", "volume", 0.01},
    UnitRow{"dl", "volume", 0.1},
    UnitRow{"l litre litres liter liters", "volume", 1},
    UnitRow{"kb kilobyte kilobytes", "data", 1e3},
    UnitRow{"mb megabyte megabytes", "data", 1e6},
    UnitRow{"gb gigabyte gigabytes gig gigs", "data", 1e9},
    UnitRow{"tb terabyte terabytes", "data", 1e12},
    UnitRow{"kib", "data", 1024},
    UnitRow{"mib", "data", 1048576},
    UnitRow{"gib", "data", 1073741824},
    UnitRow{"tib", "data", 1099511627776},
    UnitRow{"kbit", "bits", 1e3},
    UnitRow{"mbit megabit megabits", "bits", 1e6},
    UnitRow{"gbit gigabit gigabits", "bits", 1e9},
    UnitRow{"kbps", "bit rate", 1e3},
    UnitRow{"mbps", "bit rate", 1e6},
    UnitRow{"gbps", "bit rate", 1e9},
    UnitRow{"ms millisecond milliseconds", "time", 0.001},
    UnitRow{"s sec secs second seconds", "time", 1},
    UnitRow{"min mins minute minutes", "time", 60},
    UnitRow{"h hr hrs hour hours", "time", 3600},
    UnitRow{"d day days", "time", 86400},
    UnitRow{"wk week weeks", "time", 604800},
    UnitRow{"month months", "calendar time", 1},
    UnitRow{"yr yrs year years", "calendar time", 12},
    UnitRow{"mw milliwatt milliwatts", "power", 0.001},
    UnitRow{"w watt watts", "power", 1},
    UnitRow{"kw kilowatt kilowatts", "power", 1000},
    UnitRow{"wh watt-hours", "energy", 1},
    UnitRow{"kwh", "energy", 1000},
    UnitRow{"mah", "charge", 0.001},
    UnitRow{"ah", "charge", 1},
    UnitRow{"v volt volts", "voltage", 1},
    UnitRow{"hz hertz", "frequency", 1},
    UnitRow{"khz kilohertz", "frequency", 1e3},
    UnitRow{"mhz megahertz", "frequency", 1e6},
    UnitRow{"ghz gigahertz", "frequency", 1e9},
    UnitRow{"px pixel pixels", "pixels", 1},
    UnitRow{"mp megapixel megapixels", "pixels", 1e6},
    UnitRow{"kcal calories calorie", "food energy", 1},
    UnitRow{"kj kilojoule kilojoules", "food energy", 1 / 4.184},
    UnitRow{"% percent", "percent", 1},
    UnitRow{"‰", "percent", 0.1},
    UnitRow{"times x fold", "times", 1},
};

// Upper case matters here: Mb are bits, MB are bytes.
constexpr std::array kExactUnits = {
    UnitRow{"Kb kb", "bits", 1e3},    UnitRow{"Mb", "bits", 1e6},       UnitRow{"Gb", "bits", 1e9},
    UnitRow{"Tb", "bits", 1e12},      UnitRow{"MW", "power", 1e6},      UnitRow{"KBps kBps", "bit rate", 8e3},
    UnitRow{"MBps", "bit rate", 8e6}, UnitRow{"GBps", "bit rate", 8e9},
};

struct WordRow {
  std::string_view word;
  double value;
};
constexpr std::array kNumberWords = {
    WordRow{"zero", 0},     WordRow{"one", 1},        WordRow{"two", 2},        WordRow{"three", 3},
    WordRow{"four", 4},     WordRow{"five", 5},       WordRow{"six", 6},        WordRow{"seven", 7},
    WordRow{"eight", 8},    WordRow{"nine", 9},       WordRow{"ten", 10},       WordRow{"eleven", 11},
    WordRow{"twelve", 12},  WordRow{"thirteen", 13},  WordRow{"fourteen", 14},  WordRow{"fifteen", 15},
    WordRow{"sixteen", 16}, WordRow{"seventeen", 17}, WordRow{"eighteen", 18},  WordRow{"nineteen", 19},
    WordRow{"twenty", 20},  WordRow{"thirty", 30},    WordRow{"forty", 40},     WordRow{"fifty", 50},
    WordRow{"sixty", 60},   WordRow{"seventy", 70},   WordRow{"eighty", 80},    WordRow{"ninety", 90},
    WordRow{"dozen", 12},   WordRow{"half", 0.5},     WordRow{"quarter", 0.25}, WordRow{"once", 1},
    WordRow{"twice", 2},    WordRow{"double", 2},     WordRow{"triple", 3},     WordRow{"couple", 2},
    WordRow{"single", 1},   WordRow{"pair", 2},
};
constexpr std::array kMagnitudes = {WordRow{"hundred", 100}, WordRow{"thousand", 1e3}, WordRow{"million", 1e6},
                                    WordRow{"billion", 1e9}, WordRow{"bn", 1e9}};

constexpr std::array<std::string_view, 12> kMonths = {"january",   "february", "march",    "april",
                                                      "may",       "june",     "july",     "august",
                                                      "september", "october",  "november", "december"};

struct CurrencyRow {
  std::string_view word, code;
  double factor;
};
constexpr std::array kCurrencies = {
    CurrencyRow{"€", "EUR", 1},      CurrencyRow{"euro", "EUR", 1},   CurrencyRow{"euros", "EUR", 1},
    CurrencyRow{"£", "GBP", 1},      CurrencyRow{"pounds", "GBP", 1}, CurrencyRow{"pound", "GBP", 1},
    CurrencyRow{"₹", "INR", 1},      CurrencyRow{"rupees", "INR", 1}, CurrencyRow{"yen", "JPY", 1},
    CurrencyRow{"yuan", "CNY", 1},   CurrencyRow{"₩", "KRW", 1},      CurrencyRow{"₽", "RUB", 1},
    CurrencyRow{"francs", "CHF", 1}, CurrencyRow{"bucks", "USD", 1},  CurrencyRow{"₺", "TRY", 1},
    CurrencyRow{"zł", "PLN", 1},
};

bool lists(std::string_view names, std::string_view wanted) {
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find(' ', begin), names.size());
    if (names.substr(begin, end - begin) == wanted) return true;
    begin = end + 1;
  }
  return false;
}

bool is_dollar_currency(std::string_view code) { return lists("USD CAD AUD NZD SGD HKD TWD MXN", code); }

}  // namespace

std::optional<Unit> find_unit(std::string_view raw, std::string_view folded) {
  for (const UnitRow& row : kExactUnits) {
    if (lists(row.names, raw)) return Unit{std::string(row.dimension), row.factor};
  }
  for (const UnitRow& row : kUnits) {
    if (lists(row.names, folded)) return Unit{std::string(row.dimension), row.factor};
  }
  return std::nullopt;
}

std::optional<CurrencyWord> find_currency(std::string_view folded, std::string_view home) {
  for (const CurrencyRow& row : kCurrencies) {
    if (row.word == folded) return CurrencyWord{std::string(row.code), row.factor};
  }
  if (folded == "$" || folded == "dollar" || folded == "dollars")
    return CurrencyWord{is_dollar_currency(home) ? std::string(home) : "USD"};
  if (folded == "cent" || folded == "cents" || folded == "¢") return CurrencyWord{std::string(home), 0.01};
  if (folded == "¥") return CurrencyWord{home == "CNY" ? "CNY" : "JPY"};
  if (folded.size() != 3) return std::nullopt;
  const icu::UnicodeString code = icu::UnicodeString::fromUTF8(icu::StringPiece(folded.data(), 3)).toUpper();
  static constexpr std::string_view kWordsThatAreCodes = "all top try cup bam mop";  // ISO codes that are English words
  if (lists(kWordsThatAreCodes, folded)) return std::nullopt;
  std::string utf8;
  code.toUTF8String(utf8);
  const bool known = lists(
      "USD EUR GBP JPY CNY CHF CAD AUD NZD SGD HKD TWD MXN SEK NOK DKK PLN CZK HUF INR KRW BRL ZAR TRY RUB ILS THB",
      utf8);
  return known ? std::optional(CurrencyWord{utf8}) : std::nullopt;
}

std::optional<double> find_number_word(std::string_view folded) {
  for (const WordRow& row : kNumberWords) {
    if (row.word == folded) return row.value;
  }
  return std::nullopt;
}

std::optional<double> find_magnitude(std::string_view raw, std::string_view folded) {
  if (raw == "k" || raw == "K") return 1e3;
  for (const WordRow& row : kMagnitudes) {
    if (row.word == folded || (folded.ends_with('s') && folded.substr(0, folded.size() - 1) == row.word))
      return row.value;
  }
  return std::nullopt;
}

std::optional<int> find_month(std::string_view folded) {
  for (size_t i = 0; i < kMonths.size(); ++i) {
    const bool abbreviated = folded.size() >= 3 && folded.size() <= 4 && kMonths[i].starts_with(folded);
    if (kMonths[i] == folded || abbreviated) return static_cast<int>(i) + 1;
  }
  return std::nullopt;
}

std::optional<std::string> find_period_adverb(std::string_view folded) {
  static const std::map<std::string_view, std::string> kAdverbs = {
      {"daily", "day"},     {"weekly", "week"}, {"monthly", "month"}, {"yearly", "year"},
      {"annually", "year"}, {"annual", "year"}, {"hourly", "hour"},   {"nightly", "night"}};
  const auto found = kAdverbs.find(folded);
  return found == kAdverbs.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace starling
