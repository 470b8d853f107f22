// A deletion's first step, durable when it returns: the tombstone and its audit record together. A repeated deletion
// adds neither. `kind` is "post" or "author".
#pragma once

#include <string>

namespace starling {

class ControlDb;

void bury(ControlDb& control, const std::string& kind, const std::string& id, const std::string& reason);

}  // namespace starling
