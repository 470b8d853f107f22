#include "posts/personal_data.h"

#include <arpa/inet.h>
#include <re2/re2.h>

#include <algorithm>
#include <functional>

#include "posts/digit_runs.h"

namespace starling {
namespace {

// ISO 13616 registry, release 96: country and total length.
constexpr std::pair<const char*, size_t> kIbanLengths[] = {
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22}, {"BH", 22},
    {"BR", 29}, {"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DK", 18}, {"DO", 28},
    {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18}, {"FO", 18}, {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23},
    {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HR", 21}, {"HU", 28}, {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26},
    {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20},
    {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MR", 27}, {"MT", 31}, {"MU", 30},
    {"NL", 18}, {"NO", 15}, {"PK", 24}, {"PL", 28}, {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22},
    {"SA", 24}, {"SC", 31}, {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"ST", 25}, {"SV", 28},
    {"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}};

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// Where a match lies in its text, for rules that look around it.
struct Found {
  std::string_view text;
  size_t begin, end;
  std::string_view match() const { return text.substr(begin, end - begin); }
  char before() const { return begin > 0 ? text[begin - 1] : ' '; }
  char after() const { return end < text.size() ? text[end] : ' '; }
};

// Bytes of the match that are personal data, from its start; 0 for none.
using Check = std::function<size_t(const Found&)>;

std::string replace_matches(const std::string& text, const RE2& pattern, const Check& check, const char* mark,
                            uint64_t& count) {
  std::string replaced;
  size_t copied = 0, position = 0;
  re2::StringPiece match;
  while (position < text.size() && pattern.Match(text, position, text.size(), RE2::UNANCHORED, &match, 1)) {
    const auto begin = static_cast<size_t>(match.data() - text.data());
    const size_t length = check({text, begin, begin + match.size()});
    if (length > 0) {
      replaced.append(text, copied, begin - copied).append(mark);
      copied = begin + length;
      ++count;
    }
    // Words of what is none may begin one: an IBAN behind a customer's number.
    position = length > 0 ? copied : begin + std::min<size_t>(match.find(' '), match.size());
  }
  return replaced.append(text, copied, std::string::npos);
}

bool follows_version_word(const Found& found) {
  static const RE2 kVersionWord(
      R"((?i)(?:\bv|version|ver\.?|release|build|firmware|driver|kernel|update|patch|section|§)[ :=]*$)");
  const size_t window = std::min<size_t>(found.begin, 24);
  const std::string_view before = found.text.substr(found.begin - window, window);
  return RE2::PartialMatch(re2::StringPiece(before.data(), before.size()), kVersionWord);
}

size_t check_ipv4(const Found& found) {
  if (is_alnum(found.before()) || found.before() == '.' || found.before() == '-' || found.before() == '_') return 0;
  if (is_alnum(found.after()) || found.after() == '-' || found.after() == '_') return 0;
  if (found.after() == '.' && found.end + 1 < found.text.size() && is_alnum(found.text[found.end + 1])) return 0;
  in_addr address{};
  const std::string quad(found.match());
  if (quad.starts_with("0.") || inet_pton(AF_INET, quad.c_str(), &address) != 1) return 0;
  return follows_version_word(found) ? 0 : quad.size();
}

size_t check_ipv6(const Found& found) {
  // A colon before it ends a word, as in "IP:2001:db8::1", or is one of many, as in a fingerprint.
  const char word = found.begin > 1 ? found.text[found.begin - 2] : ' ';
  const bool labelled = found.before() == ':' && is_alnum(word) && std::isxdigit(static_cast<unsigned char>(word)) == 0;
  if (is_alnum(found.before()) || (found.before() == ':' && !labelled)) return 0;
  if (is_alnum(found.after()) || found.after() == ':') return 0;
  std::string text(found.match());
  if (text.ends_with(':') && !text.ends_with("::")) text.pop_back();
  in6_addr address{};
  // "a::b" and "::" are also punctuation of programs: ask for three groups and a digit.
  const auto colons = std::count(text.begin(), text.end(), ':');
  const bool digit = std::any_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return colons >= 3 && digit && inet_pton(AF_INET6, text.c_str(), &address) == 1 ? text.size() : 0;
}

size_t check_email(const Found& found) {
  const char before = found.before();
  return is_alnum(before) || before == '@' ? 0 : found.match().size();
}

// The pattern takes words that follow a spaced IBAN too: the country's length decides where it ends.
size_t check_iban(const Found& found) {
  if (is_alnum(found.before())) return 0;
  const std::string_view match = found.match();
  const auto* country = std::find_if(std::begin(kIbanLengths), std::end(kIbanLengths),
                                     [&](const auto& entry) { return match.starts_with(entry.first); });
  if (country == std::end(kIbanLengths)) return 0;
  std::string iban;
  size_t length = 0;
  for (; length < match.size() && iban.size() < country->second; ++length)
    if (match[length] != ' ') iban += match[length];
  const bool ends_word = length == match.size() ? !is_alnum(found.after()) : match[length] == ' ';
  return ends_word && is_valid_iban(iban) ? length : 0;
}

}  // namespace

bool passes_luhn(std::string_view digits) {
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    const int digit = digits[digits.size() - 1 - i] - '0';
    sum += i % 2 == 0 ? digit : digit * 2 - (digit > 4 ? 9 : 0);
  }
  return !digits.empty() && sum % 10 == 0;
}

bool is_valid_iban(std::string_view iban) {
  if (iban.size() < 15) return false;
  const std::string rotated = std::string(iban.substr(4)) + std::string(iban.substr(0, 4));
  int remainder = 0;
  for (const char c : rotated) {
    if (c >= '0' && c <= '9') remainder = (remainder * 10 + (c - '0')) % 97;
    else if (c >= 'A' && c <= 'Z') remainder = (remainder * 100 + (c - 'A' + 10)) % 97;
    else return false;
  }
  return remainder == 1;
}

std::string replace_personal_data(std::string_view text, PersonalDataCounts* counts) {
  static const RE2 kEmail(
      R"([A-Za-z0-9][A-Za-z0-9._%+\-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62})\.)+[A-Za-z]{2,24})");
  static const RE2 kIban(R"([A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{1,4}){3,8})");
  static const RE2 kIpv4(R"([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})");
  static const RE2 kIpv6(R"((?:::|[0-9A-Fa-f])[0-9A-Fa-f:]{1,34}:[0-9A-Fa-f]{0,4})");
  PersonalDataCounts local{};
  PersonalDataCounts& found = counts ? *counts : local;
  const auto apply = [&](std::string& result, const RE2& pattern, const Check& check, PersonalData kind) {
    const auto index = static_cast<size_t>(kind);
    result = replace_matches(result, pattern, check, kPersonalDataMarks[index], found[index]);
  };
  std::string result(text);
  if (text.find('@') != std::string_view::npos) apply(result, kEmail, check_email, PersonalData::kEmail);
  const auto digits = std::count_if(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (text.find(':') != std::string_view::npos) apply(result, kIpv6, check_ipv6, PersonalData::kIp);
  if (digits < 4) return result;  // fewer than any of the rest has
  apply(result, kIban, check_iban, PersonalData::kIban);
  apply(result, kIpv4, check_ipv4, PersonalData::kIp);
  return replace_digit_runs(result, found[static_cast<size_t>(PersonalData::kCard)],
                            found[static_cast<size_t>(PersonalData::kPhone)]);
}

}  // namespace starling
