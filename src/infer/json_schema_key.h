// The keys that an object may have beside its declared properties.
#pragma once

#include <string>
#include <vector>

#include "infer/grammar_regex.h"

namespace starling {

// Keys of at least one character that are none of `names`: a trie of the names that leads out where it can.
CharacterNfa any_key_but(const std::vector<std::string>& names);

}  // namespace starling
