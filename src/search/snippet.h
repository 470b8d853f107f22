// The part of a post around the query's words, as escaped HTML with <mark> round each of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace starling {

inline constexpr size_t kSnippetBytes = 400;

std::string escape_html(std::string_view text);  // & < > " '
// `wanted` are folded words; a word of the text is marked when its English stem equals one of theirs.
std::string make_snippet(std::string_view text, const std::vector<std::string>& wanted);

}  // namespace starling
