// Sentences of a post. A sentence ends at . ! ? (or their full-width forms) before a space, at an empty line, or at the
// end; not after an initial ("J. Smith") or a common abbreviation. Single line breaks are mail wrapping and become
// spaces. Lines that start with '>' quote somebody else and are left out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace starling {

std::vector<std::string> split_sentences(std::string_view text);

}  // namespace starling
