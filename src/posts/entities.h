// What a post's text names: #hashtags, @mentions and URLs.
//   hashtag  '#' after a non-word character, then letters, digits, marks and '_' of any script with at least one letter
//   mention  '@' after a non-word character, then 1 to 30 of [A-Za-z0-9_]
//   url      http:// or https:// up to white space, quotes or angle brackets, without closing punctuation
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace starling {

struct Entities {
  std::vector<std::string> hashtags;  // without '#', in order, each once
  std::vector<std::string> mentions;  // without '@'
  std::vector<std::string> urls;
};

Entities find_entities(std::string_view text);  // text: UTF-8; invalid bytes end a word

// Byte length of the URL that starts at the front of `text`, 0 when none does.
size_t url_length(std::string_view text);

}  // namespace starling
