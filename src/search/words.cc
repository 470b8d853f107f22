#include "search/words.h"

#include <unicode/normalizer2.h>
#include <xapian.h>

#include <algorithm>
#include <unordered_set>

namespace starling {
namespace {

bool is_apostrophe(unsigned c) { return c == '\'' || c == 0x2019; }

// Scripts written without spaces between words.
bool is_unspaced(unsigned c) {
  return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x2fa1f);
}

bool starts_url(std::string_view rest) {
  return rest.starts_with("http://") || rest.starts_with("https://") || rest.starts_with("www.");
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80; });
}

std::string cut(std::string word) {
  if (word.size() <= kMaxWordBytes) return word;
  size_t size = kMaxWordBytes;
  while (size > 0 && (static_cast<unsigned char>(word[size]) & 0xc0) == 0x80) --size;
  return word.substr(0, size);
}

// One pass over the text; `at` stands on the first character that is not yet in a word.
class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text), at_(text.data(), text.size()) {}

  std::vector<Word> split() {
    while (at_ != Xapian::Utf8Iterator()) {
      const unsigned c = *at_;
      if ((c == 'h' || c == 'w') && starts_url(text_.substr(offset()))) skip_url();
      else if (is_unspaced(c)) take_unspaced();
      else if (Xapian::Unicode::is_wordchar(c)) take_word();
      else ++at_;
    }
    return std::move(words_);
  }

 private:
  size_t offset() const { return text_.size() - at_.left(); }

  void skip_url() {
    while (at_ != Xapian::Utf8Iterator() && !Xapian::Unicode::is_whitespace(*at_)) ++at_;
  }

  void take_word() {
    const size_t begin = offset();
    size_t end = begin;
    while (at_ != Xapian::Utf8Iterator()) {
      const unsigned c = *at_;
      if (is_unspaced(c)) break;
      const bool letter = Xapian::Unicode::is_wordchar(c);
      if (!letter && !is_apostrophe(c)) break;
      ++at_;
      if (letter) end = offset();
      else if (at_ == Xapian::Utf8Iterator() || !Xapian::Unicode::is_wordchar(*at_)) break;
    }
    add(begin, end);
  }

  void take_unspaced() {
    size_t previous = offset(), begin = previous;
    ++at_;
    size_t pairs = 0;
    for (; at_ != Xapian::Utf8Iterator() && is_unspaced(*at_); ++pairs) {
      begin = offset();
      ++at_;
      add(previous, offset());
      previous = begin;
    }
    if (pairs == 0) add(begin, offset());
  }

  void add(size_t begin, size_t end) {
    std::string folded = cut(fold(text_.substr(begin, end - begin)));
    if (!folded.empty()) words_.push_back({std::move(folded), begin, end});
  }

  std::string_view text_;
  Xapian::Utf8Iterator at_;
  std::vector<Word> words_;
};

}  // namespace

std::string fold(std::string_view text) {
  std::string out;
  if (is_ascii(text)) {
    out.assign(text);
    for (char& c : out)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
  }
  UErrorCode code = U_ZERO_ERROR;
  const icu::Normalizer2* folder = icu::Normalizer2::getNFKCCasefoldInstance(code);
  icu::UnicodeString source =
      icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  source.findAndReplace(icu::UnicodeString(static_cast<char16_t>(0x2019)), icu::UnicodeString(u'\''));
  folder->normalize(source, code).toUTF8String(out);
  return out;
}

std::vector<Word> split_words(std::string_view text) { return Splitter(text).split(); }

std::string stem(const std::string& word, std::string_view language) {
  if (language != "en") return word;
  thread_local Xapian::Stem english("english");
  return english(word);
}

std::vector<std::string> split_camel_case(std::string_view tag) {
  const auto kind = [](char c) { return c >= 'A' && c <= 'Z' ? 'U' : c >= '0' && c <= '9' ? '0' : 'l'; };
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t i = 1; i <= tag.size(); ++i) {
    const bool ends = i == tag.size() || tag[i] == '_' ||
                      (kind(tag[i]) != kind(tag[i - 1]) && kind(tag[i - 1]) != 'U') ||
                      (kind(tag[i]) == 'l' && kind(tag[i - 1]) == 'U' && i - begin > 1);
    if (!ends) continue;
    // "BBCNews": the last capital of a run opens the next word.
    const bool acronym = i < tag.size() && kind(tag[i]) == 'l' && kind(tag[i - 1]) == 'U' && i - begin > 1;
    const size_t end = acronym ? i - 1 : i;
    if (end > begin) parts.push_back(cut(fold(tag.substr(begin, end - begin))));
    begin = i < tag.size() && tag[i] == '_' ? i + 1 : end;
  }
  return parts.size() > 1 ? parts : std::vector<std::string>{};
}

bool is_function_word(std::string_view word) {
  static const std::unordered_set<std::string_view> words = {
      "a",     "about",  "after", "again", "all",    "also",  "am",    "an",    "and",    "any",    "anyone",   "are",
      "as",    "at",     "be",    "been",  "being",  "but",   "by",    "can",   "could",  "did",    "do",       "does",
      "doing", "don't",  "for",   "from",  "get",    "got",   "had",   "has",   "have",   "he",     "her",      "here",
      "him",   "his",    "how",   "i",     "i'm",    "if",    "in",    "into",  "is",     "it",     "it's",     "its",
      "just",  "like",   "me",    "might", "more",   "most",  "much",  "must",  "my",     "no",     "not",      "now",
      "of",    "on",     "one",   "only",  "or",     "other", "our",   "out",   "over",   "people", "say",      "says",
      "said",  "should", "so",    "some",  "such",   "tell",  "than",  "that",  "that's", "the",    "their",    "them",
      "then",  "there",  "these", "they",  "thing",  "this",  "those", "to",    "too",    "up",     "us",       "very",
      "was",   "we",     "were",  "what",  "what's", "when",  "where", "which", "while",  "who",    "whom",     "whose",
      "why",   "will",   "with",  "would", "you",    "your",  "many",  "best",  "think",  "happen", "happened", "use"};
  return words.contains(word);
}

}  // namespace starling
