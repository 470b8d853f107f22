#include "ads/quantity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>

#include "ads/lexicon.h"
#include "ads/units.h"

namespace starling {
namespace {

using Tokens = std::vector<ScanToken>;

// "1,299.00" and "1299": a comma before exactly three digits groups thousands, another comma is decimal, as in "12,90".
std::optional<double> parse_number(std::string text) {
  const size_t comma = text.rfind(','), dot = text.rfind('.');
  if (std::count(text.begin(), text.end(), '.') > 1) {
    std::erase(text, '.');  // 1.299.000
  } else if (comma != std::string::npos && (dot == std::string::npos || comma > dot)) {
    const bool groups = text.size() - comma - 1 == 3 && dot == std::string::npos && text[0] != '0';
    if (!groups) {
      text[comma] = '.';  // 1.299,00 and 12,90
      if (dot != std::string::npos) text.erase(dot, 1);
    }
  }
  std::erase(text, ',');
  std::erase(text, '\'');
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value)) return std::nullopt;
  return value;
}

class Finder {
 public:
  Finder(const Tokens& tokens, std::string_view text, std::string_view home)
      : tokens_(tokens), text_(text), home_(home) {}

  Mentions find() {
    Mentions found;
    for (size_t at = 0; at < tokens_.size();) {
      if (auto date = date_at(at)) {
        at = date->last + 1;
        found.dates.push_back(*date);
      } else if (auto quantity = quantity_at(at)) {
        at = quantity->last + 1;
        found.quantities.push_back(*quantity);
      } else {
        ++at;
      }
    }
    return found;
  }

 private:
  std::string_view word(size_t at) const {
    return at < tokens_.size() ? std::string_view(tokens_[at].text) : std::string_view();
  }
  bool is(size_t at, std::string_view text) const { return at < tokens_.size() && tokens_[at].text == text; }
  bool is_type(size_t at, ScanType type) const { return at < tokens_.size() && tokens_[at].type == type; }
  bool glued(size_t at) const { return at < tokens_.size() && tokens_[at].glued; }
  std::string shown(size_t first, size_t last) const {
    return std::string(text_.substr(tokens_[first].begin, tokens_[last].end - tokens_[first].begin));
  }

  std::optional<int> small_integer(size_t at, int low, int high) const {
    if (!is_type(at, ScanType::number) || tokens_[at].text.find_first_not_of("0123456789") != std::string::npos)
      return std::nullopt;
    if (tokens_[at].text.size() > 4) return std::nullopt;
    const int value = std::stoi(tokens_[at].text);
    return value >= low && value <= high ? std::optional(value) : std::nullopt;
  }
  std::optional<int> year_at(size_t at) const {
    return is_type(at, ScanType::number) && tokens_[at].text.size() == 4 ? small_integer(at, 1000, 2999) : std::nullopt;
  }
  // A day of the month and the tokens of its ordinal ending: "24", "24th", "24th of".
  std::optional<int> day_at(size_t at, size_t& next) const {
    const std::optional<int> day = small_integer(at, 1, 31);
    next = at + 1;
    if (day && glued(next) && (is(next, "st") || is(next, "nd") || is(next, "rd") || is(next, "th"))) ++next;
    return day;
  }

  std::optional<DateMention> date_at(size_t at) const {
    if (auto date = numeric_date(at)) return date;
    if (auto date = day_month(at)) return date;
    return month_day(at);
  }
  DateMention date(size_t first, size_t last, int year, int month, int day) const {
    DateMention found{.first = first, .last = last, .year = year, .month = month, .day = day};
    found.shown = shown(first, last);
    size_t at = first;
    while (at > 0 && (is(at - 1, "the") || is(at - 1, ":"))) --at;
    if (at > 0 && is_time_bound_word(word(at - 1))) found.bound = tokens_[at - 1].text;
    return found;
  }

  // 2026-12-24, 24.12.2026, 24/12/2026, 12/24/2026. The scanner keeps "24.12.2026" as one number.
  std::optional<DateMention> numeric_date(size_t at) const {
    if (!is_type(at, ScanType::number)) return std::nullopt;
    int a = 0, b = 0, c = 0, used = 0;
    if (std::sscanf(tokens_[at].text.c_str(), "%2d.%2d.%4d%n", &a, &b, &c, &used) == 3 &&
        used == static_cast<int>(tokens_[at].text.size())) {
      return a >= 1 && a <= 31 && b >= 1 && b <= 12 && c >= 1000 ? std::optional(date(at, at, c, b, a)) : std::nullopt;
    }
    const std::string_view separator = word(at + 1);
    if ((separator != "-" && separator != "/") || word(at + 3) != separator || !glued(at + 1) || !glued(at + 2) ||
        !glued(at + 3) || !glued(at + 4)) {
      return std::nullopt;
    }
    const auto middle = small_integer(at + 2, 1, 31);
    if (const auto year = year_at(at); year && middle && *middle <= 12) {
      const auto day = small_integer(at + 4, 1, 31);
      return day ? std::optional(date(at, at + 4, *year, *middle, *day)) : std::nullopt;
    }
    const auto first = small_integer(at, 1, 31), year = year_at(at + 4);
    if (!first || !middle || !year || (*first > 12 && *middle > 12)) return std::nullopt;
    DateMention found =
        *first > 12 ? date(at, at + 4, *year, *middle, *first) : date(at, at + 4, *year, *first, *middle);
    found.ambiguous = *first <= 12 && *middle <= 12 && *first != *middle;
    return found;
  }

  // 24 December 2026, 24th of December
  std::optional<DateMention> day_month(size_t at) const {
    size_t next = 0;
    const auto day = day_at(at, next);
    if (!day) return std::nullopt;
    if (is(next, "of")) ++next;
    const auto month = is_type(next, ScanType::word) ? find_month(word(next)) : std::nullopt;
    if (!month) return std::nullopt;
    const size_t after = next + 1 + (is_type(next + 1, ScanType::comma) && year_at(next + 2) ? 1 : 0);
    if (const auto year = year_at(after)) return date(at, after, *year, *month, *day);
    return date(at, next, 0, *month, *day);
  }

  // December 24, 2026; December 24th; December 2026
  std::optional<DateMention> month_day(size_t at) const {
    const auto month = is_type(at, ScanType::word) ? find_month(word(at)) : std::nullopt;
    if (!month) return std::nullopt;
    if (const auto year = year_at(at + 1)) return date(at, at + 1, *year, *month, 0);
    size_t next = 0;
    const auto day = day_at(at + 1, next);
    if (!day) return std::nullopt;
    const size_t after = next + (is(next, ",") && year_at(next + 1) ? 1 : 0);
    if (const auto year = year_at(after)) return date(at, after, *year, *month, *day);
    return date(at, next - 1, 0, *month, *day);
  }

  // Digits or number words with a magnitude: "1,299", "twenty-five", "two hundred and fifty", "5k", "1.5 million".
  std::optional<double> value_at(size_t at, size_t& next) const {
    std::optional<double> value;
    next = at;
    if (is_type(at, ScanType::number)) {
      value = parse_number(tokens_[at].text);
      if (!value) return std::nullopt;
      next = at + 1;
      const auto scale = next < tokens_.size() ? find_magnitude(tokens_[next].raw, word(next)) : std::nullopt;
      const bool letter_k = word(next) == "k";
      if (scale && (!letter_k || glued(next))) {
        *value *= *scale;
        ++next;
      }
      return value;
    }
    double total = 0, part = 0;
    bool any = false;
    while (is_type(next, ScanType::word)) {
      const auto small = find_number_word(word(next));
      const auto scale = tokens_[next].raw.size() > 1 ? find_magnitude(tokens_[next].raw, word(next)) : std::nullopt;
      if (scale) {
        part = (any && part > 0 ? part : 1) * *scale;
        if (*scale >= 1000) total += std::exchange(part, 0);
      } else if (small) {
        part += *small;
      } else {
        break;
      }
      any = true;
      ++next;
      const bool joins = is(next, "-") || is(next, "and");
      if (joins && is_type(next + 1, ScanType::word) && find_number_word(word(next + 1)) &&
          (!is(next, "and") || part >= 100 || total > 0))
        ++next;
    }
    return any ? std::optional(total + part) : std::nullopt;
  }

  // The words before a number that make it a bound; returns how many tokens they take.
  size_t bound_before(size_t at, Bound& bound) const {
    struct Row {
      std::array<std::string_view, 3> words;
      Bound bound;
    };
    static constexpr std::array kRows = {
        Row{{"as", "low", "as"}, Bound::from},      Row{{"as", "much", "as"}, Bound::up_to},
        Row{{"as", "many", "as"}, Bound::up_to},    Row{{"no", "more", "than"}, Bound::up_to},
        Row{{"no", "less", "than"}, Bound::from},   Row{{"up", "to", ""}, Bound::up_to},
        Row{{"at", "most", ""}, Bound::up_to},      Row{{"at", "least", ""}, Bound::from},
        Row{{"more", "than", ""}, Bound::over},     Row{{"less", "than", ""}, Bound::under},
        Row{{"fewer", "than", ""}, Bound::under},   Row{{"starting", "at", ""}, Bound::from},
        Row{{"starting", "from", ""}, Bound::from}, Row{{"close", "to", ""}, Bound::about},
        Row{{"from", "", ""}, Bound::from},         Row{{"over", "", ""}, Bound::over},
        Row{{"above", "", ""}, Bound::over},        Row{{"under", "", ""}, Bound::under},
        Row{{"below", "", ""}, Bound::under},       Row{{"about", "", ""}, Bound::about},
        Row{{"around", "", ""}, Bound::about},      Row{{"almost", "", ""}, Bound::about},
        Row{{"nearly", "", ""}, Bound::about},      Row{{"approximately", "", ""}, Bound::about},
        Row{{"roughly", "", ""}, Bound::about},     Row{{"~", "", ""}, Bound::about},
        Row{{"only", "", ""}, Bound::exact},        Row{{"just", "", ""}, Bound::exact},
    };
    for (const Row& row : kRows) {
      size_t length = 0;
      while (length < 3 && !row.words[length].empty() && is(at + length, row.words[length])) ++length;
      if (length == 3 || (length > 0 && row.words[length].empty())) {
        bound = row.bound;
        return length;
      }
    }
    return 0;
  }

  struct UnitMatch {
    std::string dimension;
    double factor = 1;
    size_t next = 0;
  };

  // The unit after a number: "14 inch", "14-inch", "14\"", "5 %", "5 per cent", "12 USD", "12 US dollars".
  std::optional<UnitMatch> unit_at(size_t at) const {
    if (is(at, "-") && glued(at) && glued(at + 1)) ++at;
    if (is(at, "per") && is(at + 1, "cent")) return UnitMatch{"percent", 1, at + 2};
    if (is(at, "us") && (is(at + 1, "dollars") || is(at + 1, "$"))) return UnitMatch{"currency USD", 1, at + 2};
    if (at >= tokens_.size() || tokens_[at].type == ScanType::stop || tokens_[at].type == ScanType::comma)
      return std::nullopt;
    if (const auto currency = find_currency(word(at), home_))
      return UnitMatch{"currency " + currency->code, currency->factor, at + 1};
    // "in" is a unit only right behind the digits ("14in"), else it is the preposition.
    if ((is(at, "in") || is(at, "t") || is(at, "m") || is(at, "d") || is(at, "x")) && !glued(at)) return std::nullopt;
    if (const auto unit = find_unit(tokens_[at].raw, word(at))) return UnitMatch{unit->dimension, unit->factor, at + 1};
    return std::nullopt;
  }

  // "/month", "per month", "a month", "each month", "monthly": returns the token after it.
  size_t rate_at(size_t at, std::string& rate) const {
    if (const auto period = is_type(at, ScanType::word) ? find_period_adverb(word(at)) : std::nullopt) {
      rate = *period;
      return at + 1;
    }
    const bool marker =
        is(at, "/") || is(at, "per") || is(at, "each") || is(at, "every") || is(at, "a") || is(at, "an");
    if (!marker || !is_type(at + 1, ScanType::word)) return at;
    rate = singular(word(at + 1));
    return at + 2;
  }

  // The letters that a "$" is joined to: "a" of "A$1299".
  std::string_view dollar_prefix(size_t at) const {
    return is(at, "$") && glued(at) && at > 0 && is_type(at - 1, ScanType::word) ? word(at - 1) : std::string_view();
  }

  // "every two weeks" says how often, not how long.
  std::optional<Quantity> quantity_at(size_t first) const {
    if (!is(first, kEvery)) return amount_at(first);
    std::optional<Quantity> found = amount_at(first + 1);
    if (!found || !found->dimension.ends_with("time") || !found->rate.empty()) return std::nullopt;
    found->first = first;
    found->rate = kEvery;
    found->shown = shown(first, found->last);
    return found;
  }

  std::optional<Quantity> amount_at(size_t first) const {
    Quantity found{.first = first};
    size_t at = first + bound_before(first, found.bound);
    if (at > first && (is(at, "the") || date_at(at))) return std::nullopt;
    UnitMatch before;
    // "A$" and "US$": the letters say whose dollar it is, not the home currency.
    const std::string_view country = is(at, "us") && is(at + 1, "$") ? "us" : dollar_prefix(at);
    if (country == "us" && is(at, "us")) ++at;
    if (at < tokens_.size()) {
      auto currency = find_currency(word(at), home_);
      if (currency && !country.empty()) currency->code = country == "us" ? "USD" : std::string(country) + "$";
      size_t after = 0;
      if (currency && currency->factor == 1 && value_at(at + 1, after))
        before = {"currency " + currency->code, 1, ++at};
    }
    const bool negative = is(at, "-") && !glued(at) && glued(at + 1);
    if (negative) ++at;
    size_t next = 0;
    const auto value = value_at(at, next);
    if (!value) return std::nullopt;
    found.low = found.high = negative ? -*value : *value;
    return finish(found, before, next);
  }

  // What follows the first number: the end of a range, a plus sign, the unit, the rate.
  std::optional<Quantity> finish(Quantity found, UnitMatch unit, size_t next) const {
    const bool outside = found.bound == Bound::over || found.bound == Bound::under;  // "over 10-20" is more than 10-20
    std::optional<UnitMatch> own = unit_at(next);
    const size_t dash = own && is(own->next, "-") ? own->next : own && is(own->next, "to") ? own->next : next;
    size_t after = 0;
    if (is(dash, "-") || is(dash, "to")) {
      const bool symbol = dash + 1 < tokens_.size() && find_currency(word(dash + 1), home_) && !unit.dimension.empty();
      if (const auto end = value_at(dash + 1 + (symbol ? 1 : 0), after)) {
        found.high = *end;
        if (!outside) found.bound = Bound::range;
        next = after;
        own = unit_at(next);
      }
    }
    if (is(next, "+")) {
      if (!outside) found.bound = Bound::from;
      ++next;
      own = unit_at(next);
    }
    if (unit.dimension.empty() && own) {
      unit = *own;
      next = own->next;
    }
    found.low *= unit.factor;
    found.high *= unit.factor;
    found.dimension = unit.dimension;
    if (unit.dimension.empty()) {
      const size_t noun = next + (is(next, "-") && glued(next) ? 1 : 0);
      if (is_type(noun, ScanType::word)) found.counted = singular(word(noun));
    }
    next = rate_at(next, found.rate);
    found.last = next - 1;
    found.shown = shown(found.first, found.last);
    return found;
  }

  const Tokens& tokens_;
  std::string_view text_;
  std::string_view home_;
};

bool same(double a, double b) {
  // Decimal amounts and unit factors are exact to about 1e-15; 1e-9 leaves room for both and hides no real difference.
  return std::abs(a - b) <= 1e-9 * std::max({1.0, std::abs(a), std::abs(b)});
}

}  // namespace

Mentions find_mentions(const Tokens& tokens, std::string_view text, std::string_view home_currency) {
  return Finder(tokens, text, home_currency).find();
}

bool proves(const Quantity& attested, const Quantity& claimed) {
  const bool exact = attested.bound == Bound::exact;
  const bool same_low = same(attested.low, claimed.low), same_high = same(attested.high, claimed.high);
  switch (claimed.bound) {
    case Bound::exact:
      return exact && same_low;
    case Bound::about:
      return (exact || attested.bound == Bound::about) && same_low;
    case Bound::range:
      return attested.bound == Bound::range && same_low && same_high;
    case Bound::up_to:
      return (exact || attested.bound == Bound::up_to || attested.bound == Bound::range) && same_high;
    case Bound::from:
      return (exact || attested.bound == Bound::from || attested.bound == Bound::range) && same_low;
    case Bound::over:
      return ((exact || attested.bound == Bound::from || attested.bound == Bound::range) &&
              attested.low > claimed.low && !same_low) ||
             (attested.bound == Bound::over && same_low);
    case Bound::under:
      return ((exact || attested.bound == Bound::up_to || attested.bound == Bound::range) &&
              attested.high < claimed.high && !same_high) ||
             (attested.bound == Bound::under && same_high);
  }
  return false;
}

bool proves(const DateMention& attested, const DateMention& claimed) {
  if (claimed.ambiguous || attested.ambiguous) return false;
  const auto agrees = [](int attested_part, int claimed_part) {
    return claimed_part == 0 || claimed_part == attested_part;
  };
  return agrees(attested.year, claimed.year) && agrees(attested.month, claimed.month) &&
         agrees(attested.day, claimed.day);
}

}  // namespace starling
