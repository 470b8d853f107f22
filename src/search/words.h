// How text becomes index terms: Unicode words, case-folded (NFKC), lightly stemmed when they are English.
//
//   "The BBC's #ClimateChange plan http://t.co/x"  ->  the bbc's climatechange plan
//
// A word is a run of letters, marks, digits and '_', with an apostrophe allowed inside. URLs are not words. Chinese and
// Japanese characters have no spaces between words: a run of n of them gives its n-1 overlapping pairs (n = 1: itself).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace starling {

struct Word {
  std::string text;           // folded; at most kMaxWordBytes
  size_t begin = 0, end = 0;  // its bytes in the source
};

inline constexpr size_t kMaxWordBytes = 64;  // longer runs are cut: they are noise, and Xapian's terms end at 245 bytes

std::vector<Word> split_words(std::string_view text);  // any bytes; invalid UTF-8 is read as Latin-1
std::string fold(std::string_view text);               // NFKC case folding of one word, name or tag

// The stem under which a word is ranked: the English Snowball stemmer for "en", the word itself otherwise.
std::string stem(const std::string& word, std::string_view language);

// "ClimateChange2019" -> climate, change, 2019, each cut as a word; empty when the tag is one word.
std::vector<std::string> split_camel_case(std::string_view tag);

// English function words ("the", "what", "is"): never the reason that a post answers a question.
bool is_function_word(std::string_view folded_word);

}  // namespace starling
