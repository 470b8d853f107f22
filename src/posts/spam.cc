#include "posts/spam.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <vector>

#include "core/hash.h"
#include "posts/characters.h"
#include "posts/entities.h"

namespace starling {
namespace {

// What the signs count, in one pass over the text.
struct Shape {
  size_t characters = 0, letters = 0, capitals = 0, digits = 0, exclamations = 0;
  size_t url_characters = 0, urls = 0, hashtags = 0, mentions = 0, words = 0;
  size_t longest_repeat = 0;  // of one character in a row
  double top_word_share = 0;  // of the word of 4 bytes or more that is more than half of all, else 0
};

// A byte that may start a tag: a letter, or a part of a character beyond ASCII.
bool may_start_tag(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
}

// Rules of dashes and rows of dots decorate plain text; letters, digits and exclamation marks in a row do not.
bool may_not_repeat(UChar32 c) { return is_letter_or_digit(c) || c == '!' || c == '?' || c == '$'; }

// Calls visit(word) for every word of the text.
template <typename Visit>
void for_each_word(std::string_view text, const Visit& visit) {
  const auto ends_word = [](char c) { return c == ' ' || c == '\n' || c == '\t'; };
  for (auto end = text.begin(), begin = end; begin != text.end(); begin = end + (end != text.end() ? 1 : 0)) {
    end = std::find_if(begin, text.end(), ends_word);
    if (end != begin) visit(std::string_view(begin, end));
  }
}

// Only a word that is more than half of all is asked for, so a vote finds it: each word cancels another one.
// Source: Boyer and Moore 1981, "MJRTY, a fast majority vote algorithm".
double majority_share(std::string_view text, size_t words) {
  std::string_view candidate;
  size_t votes = 0, count = 0;
  for_each_word(text, [&](std::string_view word) {
    if (votes == 0) candidate = word;
    if (word == candidate) ++votes;
    else --votes;
  });
  for_each_word(text, [&](std::string_view word) { count += word == candidate ? 1 : 0; });
  const bool counts = count >= 4 && candidate.size() >= 4 && url_length(candidate) == 0 && count * 2 > words;
  return counts ? static_cast<double>(count) / static_cast<double>(words) : 0;
}

void count_words(std::string_view text, Shape& shape) {
  for_each_word(text, [&](std::string_view word) {
    ++shape.words;
    if (word.size() > 1 && word[0] == '#' && may_start_tag(word[1])) ++shape.hashtags;
    if (word.size() > 1 && word[0] == '@' && may_start_tag(word[1])) ++shape.mentions;
    if (const size_t url = url_length(word); url > 0) {
      ++shape.urls;
      shape.url_characters += url;
    }
  });
  shape.top_word_share = majority_share(text, shape.words);
}

Shape shape_of(std::string_view text) {
  Shape shape;
  UChar32 last = 0;
  size_t repeat = 0;
  for (size_t position = 0; position < text.size();) {
    const UChar32 c = next_character(text, position);
    repeat = c == last && may_not_repeat(c) ? repeat + 1 : 1;
    last = c;
    shape.longest_repeat = std::max(shape.longest_repeat, repeat);
    ++shape.characters;
    if (is_letter(c)) ++shape.letters;
    if (is_capital(c)) ++shape.capitals;
    if (is_digit(c)) ++shape.digits;
    if (c == '!') ++shape.exclamations;
  }
  count_words(text, shape);
  return shape;
}

// Expressions of unasked advertising. Each counts once; a strong one weighs 0.5, a weak one 0.2.
const RE2& strong_words() {
  static const RE2 pattern(
      R"((?i)\b(?:18|16)\+|\b(you(?:'ve| have)? (?:been )?(?:won|selected|awarded)|claim (?:your|ur|now|code)|to claim|prize|guaranteed|free (?:entry|msg|ringtone|gift|trial|tones?)|ringtones?|click here|click below|to be removed|remove(?:d)? from (?:our|this|the) (?:mailing )?list|viagra|casino|money back|no obligation|risk[- ]free|work (?:at|from) home|earn \$|make money|cash (?:prize|bonus)|credit card debt|lowest rates?|refinance|double your|opt[- ]?out|this is not spam|order now|act now|limited time|call now|text (?:stop|win)|reply (?:stop|yes)|(?:specially|been) selected|(?:latest|free|poly(?:phonic)?) (?:colour|tones?|ringtones?|mobiles?)|po ?box|per (?:min|wk|week|msg)|p/?min|nigeria|million (?:dollars|us)|next of kin|weight loss|lose weight|mortgage|adult|xxx|sexy (?:singles|girls)|hot girls)\b)");
  return pattern;
}

const RE2& weak_words() {
  static const RE2 pattern(
      R"((?i)\b100%|\b(unsubscribe|txt|stop|reply|service|content|club|ur|2|free|win|winner|won|urgent|offer|offers|cash|bonus|discount|cheap|save|subscribe|voucher|award|awarded|reward|mobile|customer|landline|congratulations|congrats|dear (?:friend|sir|customer)|exclusive|investment|income|opportunity|order|price|prices|deal|deals|fast|instant|latest|collect|draw|valid|sale|dating|chat)\b)");
  return pattern;
}

// How many different expressions of `pattern` the text has, up to `most`.
size_t count_expressions(std::string_view text, const RE2& pattern, size_t most) {
  std::vector<std::string> found;
  re2::StringPiece match;
  // Without submatches RE2 needs its fast automaton only.
  for (size_t position = 0; found.size() < most && pattern.Match({text.data(), text.size()}, position, text.size(),
                                                                 RE2::UNANCHORED, &match, 1);) {
    position = static_cast<size_t>(match.data() - text.data()) + match.size();
    std::string word(match);
    std::transform(word.begin(), word.end(), word.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (std::find(found.begin(), found.end(), word) == found.end()) found.push_back(word);
  }
  return found.size();
}

class Score {
 public:
  void add(const char* reason, double points) {
    if (points <= 0) return;
    verdict_.score += points;
    verdict_.reasons += fmt::format("{}{} {:.2f}", verdict_.reasons.empty() ? "" : ", ", reason, points);
  }
  SpamVerdict verdict() { return std::move(verdict_); }

 private:
  SpamVerdict verdict_;
};

double ratio(size_t part, size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// A long text meets a listed word by chance: the weight of words falls with the length from 60 words on.
double words_scale(size_t words) { return words <= 60 ? 1.0 : std::max(0.4, 60.0 / static_cast<double>(words)); }

}  // namespace

SpamVerdict spam_score(std::string_view text) {
  static const RE2 kMoney(R"((?:[£$€]\s?\d|\d\s?(?:USD|EUR|GBP|dollars|pounds)))");
  static const RE2 kShortCode(
      R"((?i)\b[3-8]\d{4}\b|\b0[89]\d{8,9}|\d{2,3}p(?:/|per| )?(?:min|msg|wk|week)|/(?:min|msg|wk|week|month)\b)");  // premium-rate senders
  const Shape shape = shape_of(text);
  Score score;
  const double scale = words_scale(shape.words);
  score.add("advertising words", scale * 0.5 * static_cast<double>(count_expressions(text, strong_words(), 4)));
  score.add("weak advertising words", scale * 0.15 * static_cast<double>(count_expressions(text, weak_words(), 5)));
  if (shape.words >= 8 && RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), kMoney))
    score.add("money", scale * 0.3);
  if (shape.words >= 8 && RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), kShortCode))
    score.add("premium rates", scale * 0.5);
  if (ratio(shape.url_characters, shape.characters) > 0.8 || (shape.urls > 5 && ratio(shape.urls, shape.words) > 0.15))
    score.add("links", 0.5);
  if ((shape.hashtags > 8 && ratio(shape.hashtags, shape.words) > 0.25) ||
      (shape.words >= 6 && ratio(shape.hashtags, shape.words) > 0.6))
    score.add("hashtags", 1.0);
  if (shape.mentions > 10 && ratio(shape.mentions, shape.words) > 0.25) score.add("mentions", 1.0);
  if (shape.letters >= 20 && ratio(shape.capitals, shape.letters) > 0.6) score.add("capitals", 0.4);
  if (shape.words >= 8 && shape.words <= 60 && ratio(shape.digits, shape.characters) > 0.08) score.add("digits", 0.3);
  if (shape.exclamations >= 3) score.add("exclamation marks", 0.2);
  if (shape.longest_repeat >= 20) score.add("a repeated character", 0.5);
  if (shape.words >= 8 && shape.top_word_share > 0.5) score.add("a repeated word", 1.0);
  return score.verdict();
}

bool is_spam(std::string_view text, double threshold) { return threshold > 0 && spam_score(text).score >= threshold; }

uint64_t template_hash(std::string_view normalized) {
  std::string frame(normalized);
  std::erase_if(frame, [](char c) { return c >= '0' && c <= '9'; });
  return frame.size() < 10 ? 0 : hash64(frame);
}

}  // namespace starling
