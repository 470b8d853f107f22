// An author's wish about the use of their posts: the change and its audit record ("author.opted_out",
// "author.opted_in") together. Thread-safe.
#pragma once

#include <string>

namespace starling {

class ControlDb;

// `purpose` is "training", "ads" or "search". False when it was so already. Throws ConfigError for another purpose or
// an empty author.
bool set_opt_out(ControlDb& control, const std::string& author, const std::string& purpose, bool opt_out);

}  // namespace starling
