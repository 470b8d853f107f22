// Writing JSON text by hand where a line a post must be fast and its bytes stable.
#pragma once

#include <string>
#include <string_view>

namespace starling {

// Appends `text` as a JSON string with its quotes. `text` must be valid UTF-8.
void append_json_string(std::string& json, std::string_view text);

}  // namespace starling
