#include "search/support.h"

#include <xapian.h>

#include <algorithm>

#include "search/sentences.h"
#include "search/words.h"

namespace starling {
namespace {

bool is_negation(const std::string& word) {
  static const std::unordered_set<std::string_view> kNegations = {
      "not",     "no",     "never", "none",  "nobody", "nothing", "neither",  "nor",
      "without", "cannot", "cant",  "dont",  "wont",   "isnt",    "arent",    "wasnt",
      "werent",  "doesnt", "didnt", "hasnt", "havent", "couldnt", "shouldnt", "wouldnt"};
  return kNegations.contains(word) || word.ends_with("n't");
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_number_word(const std::string& word) {
  static const std::unordered_set<std::string_view> kNumbers = {
      "two",      "three",   "four",     "five",     "six",     "seven",   "eight",     "nine",     "ten",
      "eleven",   "twelve",  "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
      "twenty",   "thirty",  "forty",    "fifty",    "sixty",   "seventy", "eighty",    "ninety",   "hundred",
      "thousand", "million", "billion",  "dozen",    "half",    "twice"};
  return kNumbers.contains(word);
}

size_t count_digits(std::string_view text) {
  return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
}

// The currency sign that a number at `begin` has before it.
std::string_view currency_before(std::string_view text, size_t begin) {
  for (const std::string_view sign : {"$", "€", "£", "¥", "₹"})
    if (text.substr(0, begin).ends_with(sign)) return sign;
  return {};
}

// "1,200.5", "7:30", "3-5", "$40" and "40%" as one number each. A comma before three digits groups thousands and is
// dropped.
std::unordered_set<std::string> numbers_in(std::string_view text) {
  std::unordered_set<std::string> out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (!is_digit(text[at])) continue;
    std::string number(currency_before(text, at));
    for (; at < text.size(); ++at) {
      const size_t digits_behind = is_digit(text[at]) ? 0 : count_digits(text.substr(at + 1));
      if (!is_digit(text[at]) &&
          (digits_behind == 0 || std::string_view(".,:/-").find(text[at]) == std::string_view::npos))
        break;
      if (text[at] != ',' || digits_behind != 3) number += text[at];
    }
    if (at < text.size() && text[at] == '%') number += '%';
    out.insert(number);
  }
  return out;
}

bool is_capital(std::string_view text, size_t begin) {
  const Xapian::Utf8Iterator first(text.data() + begin, text.size() - begin);
  return Xapian::Unicode::get_category(*first) == Xapian::Unicode::UPPERCASE_LETTER;
}

}  // namespace

ContentWords content_words(std::string_view text) {
  ContentWords out;
  out.numbers = numbers_in(text);
  for (const Word& word : split_words(text)) {
    out.stems.insert(stem(word.text, "en"));
    if (word.text.ends_with("'s")) out.stems.insert(word.text.substr(0, word.text.size() - 2));
    out.negated |= is_negation(word.text);
    if (is_function_word(word.text)) continue;
    if (is_capital(text, word.begin)) out.names.push_back(word.text);
    if (is_number_word(word.text)) out.numbers.insert(word.text);
    if (std::find(out.words.begin(), out.words.end(), word.text) == out.words.end()) out.words.push_back(word.text);
  }
  return out;
}

bool agree(const ContentWords& claim, const ContentWords& source) {
  const auto holds_number = [&](const std::string& number) { return source.numbers.contains(number); };
  const auto holds_name = [&](const std::string& name) { return source.stems.contains(stem(name, "en")); };
  return claim.negated == source.negated && std::all_of(claim.numbers.begin(), claim.numbers.end(), holds_number) &&
         std::all_of(claim.names.begin(), claim.names.end(), holds_name);
}

std::string supporting_sentence(std::string_view sentence, std::string_view post_text) {
  const ContentWords claim = content_words(sentence);
  if (claim.words.empty()) return {};
  std::string best;
  double best_coverage = 0;
  for (const std::string& candidate : split_sentences(post_text)) {
    const ContentWords source = content_words(candidate);
    if (!agree(claim, source)) continue;
    const auto covered = std::count_if(claim.words.begin(), claim.words.end(), [&](const std::string& word) {
      return source.stems.contains(stem(word, "en"));
    });
    const double coverage = static_cast<double>(covered) / static_cast<double>(claim.words.size());
    if (coverage > best_coverage) {
      best_coverage = coverage;
      best = candidate;
    }
  }
  return best_coverage >= kMinSupport ? best : std::string{};
}

}  // namespace starling
