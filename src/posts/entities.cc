#include "posts/entities.h"

#include <algorithm>

#include "posts/characters.h"

namespace starling {
namespace {

constexpr size_t kMaxMentionBytes = 30;

bool is_word(UChar32 c) {
  if (c < 0x80) return c == '_' || (c >= 0 && is_letter_or_digit(c));
  return u_isalnum(c) || (U_GET_GC_MASK(c) & U_GC_M_MASK) != 0;
}

// Word characters from `begin`; `letters` tells whether one of them is a letter.
size_t word_end(std::string_view text, size_t begin, bool& letters) {
  size_t end = begin;
  while (end < text.size()) {
    size_t next = end;
    const UChar32 c = next_character(text, next);
    if (!is_word(c)) break;
    letters = letters || is_letter(c);
    end = next;
  }
  return end;
}

bool is_mention_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

void add_once(std::vector<std::string>& list, std::string_view item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.emplace_back(item);
}

// The entity at `position`, where the character before is not part of a word. Returns its end, or `position` for none.
size_t read_entity(std::string_view text, size_t position, Entities& found) {
  if (text[position] == '#') {
    bool letters = false;
    const size_t end = word_end(text, position + 1, letters);
    if (letters) add_once(found.hashtags, text.substr(position + 1, end - position - 1));
    return letters ? end : position;
  }
  if (text[position] == '@') {
    size_t end = position + 1;
    while (end < text.size() && is_mention_byte(text[end])) ++end;
    const size_t length = end - position - 1;
    if (length == 0 || length > kMaxMentionBytes) return position;
    add_once(found.mentions, text.substr(position + 1, length));
    return end;
  }
  const size_t length = url_length(text.substr(position));
  if (length > 0) add_once(found.urls, text.substr(position, length));
  return position + length;
}

}  // namespace

size_t url_length(std::string_view text) {
  const size_t scheme = text.starts_with("https://") ? 8 : text.starts_with("http://") ? 7 : 0;
  if (scheme == 0) return 0;
  size_t end = scheme;
  while (end < text.size() && static_cast<unsigned char>(text[end]) > ' ' &&
         std::string_view("\"<>\\^`{|}").find(text[end]) == std::string_view::npos)
    ++end;
  while (end > scheme && std::string_view(".,;:!?'*)]").find(text[end - 1]) != std::string_view::npos) --end;
  return end > scheme ? end : 0;
}

Entities find_entities(std::string_view text) {
  Entities found;
  const auto lacks = [&](std::string_view sign) { return text.find(sign) == std::string_view::npos; };
  if (lacks("#") && lacks("@") && lacks("://")) return found;
  bool after_word = false;
  for (size_t position = 0; position < text.size();) {
    if (!after_word) {
      const size_t end = read_entity(text, position, found);
      if (end > position) {
        position = end;
        after_word = true;
        continue;
      }
    }
    after_word = is_word(next_character(text, position));
  }
  return found;
}

}  // namespace starling
