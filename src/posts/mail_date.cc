#include "posts/mail_date.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/time.h"

namespace starling {
namespace {

constexpr const char* kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::pair<const char*, int> kZoneHours[] = {{"est", -5}, {"edt", -4}, {"cst", -6}, {"cdt", -5},
                                                      {"mst", -7}, {"mdt", -6}, {"pst", -8}, {"pdt", -7}};

// Words of the date, lower case, without commas and comments.
std::vector<std::string> date_words(std::string_view text) {
  std::vector<std::string> words(1);
  int depth = 0;
  for (const char c : text) {
    if (c == '(') ++depth;
    else if (c == ')') depth = std::max(depth - 1, 0);
    else if (depth > 0) continue;
    else if (c == ' ' || c == ',' || c == '\t' || c == '\r' || c == '\n') words.emplace_back();
    else words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  std::erase(words, std::string());
  return words;
}

bool is_number(std::string_view word) {
  return !word.empty() && word.size() <= 4 &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

int month_number(const std::string& word) {
  for (int month = 0; month < 12; ++month)
    if (word.starts_with(kMonths[month])) return month + 1;
  return 0;
}

// RFC 5322 section 4.3: two digits below 50 are 20xx, other two and three digits count from 1900.
int full_year(int year) { return year < 50 ? year + 2000 : year < 1000 ? year + 1900 : year; }

std::optional<int> zone_seconds(const std::string& word) {
  if (word.size() == 5 && (word[0] == '+' || word[0] == '-') && is_number(word.substr(1))) {
    const int value = std::stoi(word.substr(1));
    return (word[0] == '-' ? -1 : 1) * (value / 100 * 3600 + value % 100 * 60);
  }
  for (const auto& [name, hours] : kZoneHours)
    if (word == name) return hours * 3600;
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> parse_mail_date(std::string_view text) {
  int day = 0, month = 0, year = 0, zone = 0;
  std::string clock = "00:00";
  if (text.size() > 200) return std::nullopt;
  for (const std::string& word : date_words(text)) {
    if (word.find(':') != std::string::npos) clock = word.size() >= 2 && word[1] == ':' ? "0" + word : word;
    else if (const int number = month_number(word); number > 0 && month == 0) month = number;
    else if (is_number(word) && word.size() <= 2 && day == 0) day = std::stoi(word);
    else if (is_number(word) && word.size() >= 2 && year == 0) year = full_year(std::stoi(word));
    else if (const auto seconds = zone_seconds(word)) zone = *seconds;
  }
  if (day == 0 || month == 0 || year == 0) return std::nullopt;
  const auto local = parse_time(fmt::format("{:04}-{:02}-{:02}T{}", year, month, day, clock));
  return local ? std::optional(*local - zone) : std::nullopt;
}

}  // namespace starling
