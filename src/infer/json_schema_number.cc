#include "infer/json_schema_number.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "core/error.h"

namespace starling {
namespace {

constexpr size_t kMaxDigits = 15;  // a double holds as many decimal digits exactly

struct Limit {
  Decimal value;
  bool exclusive = false;
};

// Numbers without a sign between two limits.
class MagnitudeBuilder {
 public:
  MagnitudeBuilder(Grammar& grammar, const Limit& low, const std::optional<Limit>& high, const NumberBounds& bounds)
      : grammar_(grammar), low_(low), high_(high), bounds_(bounds), end_(grammar.add_node()) {}

  Grammar::Node append(Grammar::Node from) {
    const size_t longest = high_ ? std::min(high_->value.whole.size(), kMaxDigits) : kMaxDigits;
    for (length_ = std::max<size_t>(low_.value.whole.size(), 1); length_ <= longest; ++length_) {
      nodes_.clear();
      const bool tight_low = low_.value.whole.size() == length_;
      const bool tight_high = high_ && high_->value.whole.size() == length_;
      grammar_.add_epsilon(from, digits({0, tight_low, tight_high, 0}));
    }
    return end_;
  }

 private:
  // `place` digits are written; tight: they equal those of the limit; the rest of the division by multiple_of so far.
  struct State {
    size_t place;
    bool tight_low, tight_high;
    int rest;
    auto operator<=>(const State&) const = default;
  };

  char digit_of(const Decimal& value, size_t place) const {
    if (place < length_) return value.whole[place];
    return place - length_ < value.fraction.size() ? value.fraction[place - length_] : '0';
  }
  bool only_zeros_from(const Decimal& value, size_t place) const {
    for (; place < length_ + value.fraction.size(); ++place)
      if (digit_of(value, place) != '0') return false;
    return true;
  }
  bool may_end(const State& s) const {
    if (s.place < length_ || s.rest != 0) return false;
    if (s.tight_low && (!only_zeros_from(low_.value, s.place) || low_.exclusive)) return false;
    return !(s.tight_high && high_->exclusive && only_zeros_from(high_->value, s.place));
  }
  size_t most_places() const {
    const size_t room = kMaxDigits - std::min(length_, kMaxDigits);
    return length_ + std::min(static_cast<size_t>(bounds_.max_fraction_digits), room);
  }

  Grammar::Node digits(const State& s) {
    const auto [known, is_new] = nodes_.try_emplace(s, -1);
    if (!is_new) return known->second;
    const Grammar::Node node = grammar_.add_node();
    known->second = node;
    if (may_end(s)) grammar_.add_epsilon(node, end_);
    if (s.place >= most_places()) return node;
    Grammar::Node before_digit = node;
    if (s.place == length_) before_digit = grammar_.literal(node, ".");
    const char least = s.tight_low ? digit_of(low_.value, s.place) : '0';
    const char most = s.tight_high ? digit_of(high_->value, s.place) : '9';
    for (char d = s.place == 0 && length_ > 1 ? std::max(least, '1') : least; d <= most; ++d) {
      const State next = {s.place + 1, s.tight_low && d == least, s.tight_high && d == most,
                          (s.rest * 10 + (d - '0')) % bounds_.multiple_of};
      grammar_.add_bytes(before_digit, static_cast<uint8_t>(d), static_cast<uint8_t>(d), digits(next));
    }
    return node;
  }

  Grammar& grammar_;
  const Limit low_;
  const std::optional<Limit> high_;
  const NumberBounds& bounds_;
  const Grammar::Node end_;
  size_t length_ = 1;  // digits before the point
  std::map<State, Grammar::Node> nodes_;
};

}  // namespace

Decimal parse_decimal(const std::string& text) {
  Decimal value;
  std::string digits;
  size_t at = 0;
  if (text[at] == '-') value.negative = true, ++at;
  int64_t point = -1;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.') point = static_cast<int64_t>(digits.size());
    else digits += text[at];
  }
  if (point < 0) point = static_cast<int64_t>(digits.size());
  if (at < text.size()) point += std::stoi(text.substr(at + 1));
  if (point < -400 || point > 400) throw ConfigError("a bound has an exponent beyond 400");
  if (point < 0) digits.insert(0, static_cast<size_t>(-point), '0'), point = 0;
  if (static_cast<size_t>(point) > digits.size()) digits.append(static_cast<size_t>(point) - digits.size(), '0');
  value.whole = digits.substr(0, static_cast<size_t>(point));
  value.fraction = digits.substr(static_cast<size_t>(point));
  value.whole.erase(0, std::min(value.whole.find_first_not_of('0'), value.whole.size()));
  if (value.whole.empty()) value.whole = "0";
  value.fraction.erase(value.fraction.find_last_not_of('0') + 1);
  if (value.is_zero()) value.negative = false;
  return value;
}

Grammar::Node append_number(Grammar& grammar, Grammar::Node from, const NumberBounds& b) {
  const Grammar::Node end = grammar.add_node();
  const auto magnitude = [](const Decimal& d, bool exclusive) {
    Limit limit{d, exclusive};
    limit.value.negative = false;
    return limit;
  };
  if (!b.most || !b.most->negative) {
    const Limit low = b.least && !b.least->negative ? magnitude(*b.least, b.least_exclusive) : Limit{};
    std::optional<Limit> high;
    if (b.most) high = magnitude(*b.most, b.most_exclusive);
    grammar.add_epsilon(MagnitudeBuilder(grammar, low, high, b).append(from), end);
  }
  if (!b.least || b.least->negative) {  // with a sign; "-0" is left out
    const Limit low = b.most && b.most->negative ? magnitude(*b.most, b.most_exclusive) : Limit{Decimal{}, true};
    std::optional<Limit> high;
    if (b.least) high = magnitude(*b.least, b.least_exclusive);
    grammar.add_epsilon(MagnitudeBuilder(grammar, low, high, b).append(grammar.literal(from, "-")), end);
  }
  return end;
}

}  // namespace starling
