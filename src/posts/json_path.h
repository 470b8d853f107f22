// Values of a JSON document by a path into its objects.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>
#include <vector>

namespace starling {

// Follows "user.name"; a list on the way is followed for each of its elements; a key may itself hold dots. Texts as
// they are, numbers and truth values as JSON writes them; nothing for null, objects, and what is not there.
std::vector<std::string> json_values(simdjson::dom::element root, std::string_view path);

// The first of them, or an empty text.
std::string json_text_at(simdjson::dom::element root, std::string_view path);

}  // namespace starling
