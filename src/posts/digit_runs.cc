#include "posts/digit_runs.h"

#include <re2/re2.h>

#include <algorithm>
#include <vector>

#include "posts/entities.h"
#include "posts/personal_data.h"

namespace starling {
namespace {

constexpr size_t kMaxGroups = 7;  // of one number: "00 44 (0) 20 79 46 09 58" is the most seen

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool is_separator(char c) { return c == ' ' || c == '-' || c == '.' || c == '(' || c == ')'; }

struct Group {
  size_t begin, end;  // of its digits
  size_t size() const { return end - begin; }
};

// A run "digits (up to 2 separators) digits ..." in `text`.
struct Run {
  const std::string& text;
  std::vector<Group> groups;

  char at(size_t position) const { return position < text.size() ? text[position] : ' '; }
  char before(size_t position) const { return position > 0 ? text[position - 1] : ' '; }
};

// Some groups of a run, taken as one number.
struct Number {
  size_t begin, end;  // with a leading '+' or '('
  std::string digits;
  std::vector<size_t> sizes;  // of the groups
  char separator;             // between the first two groups; '\0' for one group
  bool plus;
};

Run read_run(const std::string& text, size_t position) {
  Run run{text, {}};
  while (position < text.size() && is_digit(text[position])) {
    size_t end = position;
    while (end < text.size() && is_digit(text[end])) ++end;
    run.groups.push_back({position, end});
    position = end;
    while (position < text.size() && position - end < 2 && is_separator(text[position])) ++position;
    if (position == end) break;
  }
  return run;
}

// What stands before a number must not make it a price, a tag, a decimal, a time or a part of a word.
bool may_begin(const Run& run, size_t begin) {
  const char before = run.before(begin);
  if (before == ':') return begin >= 2 && !is_digit(run.text[begin - 2]);  // "Tel:020..." but not "12:30"
  if (is_alnum(before) || std::string_view("_#@$.,/-=&%~+'").find(before) != std::string_view::npos) return false;
  const std::string_view head(run.text.data(), begin);
  return !head.ends_with("€") && !head.ends_with("£") && !head.ends_with("¥") && !head.ends_with("$ ") &&
         !head.ends_with("€ ") && !head.ends_with("£ ");
}

bool may_end(const Run& run, size_t end) {
  const char after = run.at(end), next = run.at(end + 1);
  if (is_alnum(after) || after == '_' || after == '%' || after == '@') return false;
  if ((after == '.' || after == ',' || after == ':' || after == '/' || after == '-') && is_digit(next)) return false;
  return run.text.compare(end, 3, "€") != 0;
}

Number make_number(const Run& run, size_t first, size_t last) {
  Number number{run.groups[first].begin, run.groups[last].end, {}, {}, '\0', false};
  for (size_t i = first; i <= last; ++i) {
    number.digits.append(run.text, run.groups[i].begin, run.groups[i].size());
    number.sizes.push_back(run.groups[i].size());
  }
  if (last > first) number.separator = run.text[run.groups[first].end];
  if (run.before(number.begin) == '(') --number.begin;
  if (run.before(number.begin) == '+') {
    --number.begin;
    number.plus = true;
  }
  return number;
}

// Issuers' first digits and lengths: Visa, Mastercard, American Express, Discover, JCB, UnionPay, Diners, Maestro.
bool is_card_issuer(const std::string& digits) {
  const int two = std::stoi(digits.substr(0, 2)), four = std::stoi(digits.substr(0, 4));
  const size_t size = digits.size();
  if (digits[0] == '4') return size == 13 || size == 16 || size == 19;
  if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) return size == 16;
  if (two == 34 || two == 37) return size == 15;
  if (four == 6011 || two == 65 || two == 35 || two == 62) return size >= 16;
  return (two == 36 || two == 38 || two == 30) && size == 14;
}

bool is_card(const Number& number) {
  const std::string& digits = number.digits;
  if (number.plus || digits.size() < 13 || digits.size() > 19) return false;
  // Written in one piece or in groups of at least three: "4 1 2 3 ..." is a list.
  const bool grouped = std::all_of(number.sizes.begin(), number.sizes.end(), [](size_t size) { return size >= 3; });
  return grouped && is_card_issuer(digits) && passes_luhn(digits);
}

bool looks_like_date(const Number& number) {
  const std::vector<size_t>& sizes = number.sizes;
  if (sizes.size() < 3) return false;
  return (sizes[0] == 4 && sizes[1] <= 2 && sizes[2] <= 2) ||
         (sizes[0] <= 2 && sizes[1] <= 2 && (sizes[2] == 2 || sizes[2] == 4));
}

bool follows_phone_word(const Run& run, size_t begin) {
  static const RE2 kPhoneWord(
      R"((?i)\b(?:call|calls?|tel|telephone|phone|fon|mobile|mob|cell|fax|text|txt|sms|whatsapp|dial|ring|hotline|helpline|tél|telefon|電話|电话)[^\pL\pN]{0,4}(?:(?:me|us|no|number|is|at|on|now)[^\pL\pN]{1,3}){0,2}$)");
  const size_t window = std::min<size_t>(begin, 40);
  return RE2::PartialMatch(re2::StringPiece(run.text.data() + begin - window, window), kPhoneWord);
}

// North American numbering plan: area and exchange start with 2 to 9.
bool is_north_american(const Number& number) {
  std::string digits = number.digits;
  std::vector<size_t> sizes = number.sizes;
  if (digits.size() == 11 && digits[0] == '1' && sizes.front() == 1) {
    digits.erase(0, 1);
    sizes.erase(sizes.begin());
  }
  return sizes == std::vector<size_t>{3, 3, 4} && digits[0] >= '2' && digits[3] >= '2';
}

// A trunk 0 and nine or ten digits: "020 7946 0958", "07781482378", "0171-1234567".
bool is_national(const Number& number) {
  const std::string& digits = number.digits;
  if (digits[0] != '0' || digits[1] == '0' || (digits.size() != 10 && digits.size() != 11) ||
      digits.starts_with("012345"))
    return false;
  return number.sizes[0] >= 3 || number.sizes == std::vector<size_t>{2, 2, 2, 2, 2};
}

bool is_international(const Number& number) {
  std::string_view digits = number.digits;
  if (digits.starts_with("00")) digits.remove_prefix(2);
  else if (!number.plus) return false;
  return digits.size() >= 9 && digits.size() <= 15 && digits[0] != '0' && !digits.ends_with("00000");
}

bool is_phone(const Run& run, const Number& number) {
  const size_t size = number.digits.size();
  if (size < 7 || size > 17) return false;
  if (is_international(number)) return true;
  if (looks_like_date(number)) return false;
  if (is_north_american(number) || is_national(number)) return true;
  const bool one_group = number.sizes.size() == 1;
  if (one_group && size == 11 && number.digits[0] == '1' && number.digits[1] >= '3') return true;  // Chinese mobile
  return size <= 15 && follows_phone_word(run, number.begin);
}

// The longest number that starts with group `first`; its end, or 0 for none.
size_t replace_number(const Run& run, size_t first, std::string& replaced, size_t& copied, uint64_t& cards,
                      uint64_t& phones) {
  const size_t last_possible = std::min(run.groups.size(), first + kMaxGroups) - 1;
  for (size_t last = last_possible + 1; last-- > first;) {
    const Number number = make_number(run, first, last);
    if (number.begin < copied || !may_begin(run, number.begin) || !may_end(run, number.end)) continue;
    const bool card = is_card(number);
    if (!card && !is_phone(run, number)) continue;
    ++(card ? cards : phones);
    replaced.append(run.text, copied, number.begin - copied);
    replaced += kPersonalDataMarks[static_cast<size_t>(card ? PersonalData::kCard : PersonalData::kPhone)];
    copied = number.end;
    return copied;
  }
  return 0;
}

}  // namespace

std::string replace_digit_runs(const std::string& text, uint64_t& cards, uint64_t& phones) {
  std::string replaced;
  size_t copied = 0;
  for (size_t position = 0; position < text.size();) {
    if (const size_t url = text[position] == 'h' ? url_length(std::string_view(text).substr(position)) : 0; url > 0) {
      position += url;
      continue;
    }
    if (!is_digit(text[position])) {
      ++position;
      continue;
    }
    const Run run = read_run(text, position);
    position = run.groups.back().end;
    for (size_t first = 0; first < run.groups.size();) {
      const size_t end = replace_number(run, first, replaced, copied, cards, phones);
      if (end == 0) ++first;
      while (end > 0 && first < run.groups.size() && run.groups[first].begin < end) ++first;
    }
  }
  return replaced.append(text, copied, std::string::npos);
}

}  // namespace starling
