// The English words of ads by what they do. A word in none of these lists and in no fact is a statement nobody
// attested.
#pragma once

#include <string_view>

namespace starling {

bool is_structural_word(std::string_view folded);  // the, and, with, your, is, ...
bool is_invitation_word(std::string_view folded);  // try, discover, today, enjoy, ...: invites and states nothing
bool is_negation_word(std::string_view folded);    // no, not, never, without, don't, ...
bool is_time_bound_word(std::string_view folded);  // from, until, before, by, ...: which side of a date is meant
// best, cheapest, only, guaranteed, free, always, better, ...: claims that need the fact's own words
bool is_absolute_word(std::string_view folded);

}  // namespace starling
