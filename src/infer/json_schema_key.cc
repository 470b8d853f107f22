#include "infer/json_schema_key.h"

#include <map>
#include <set>

namespace starling {

CharacterNfa any_key_but(const std::vector<std::string>& names) {
  CharacterNfa nfa;
  nfa.start = nfa.add_state();
  nfa.end = nfa.add_state();
  const int32_t other = nfa.add_state();
  const CharacterSet characters = CharacterSet({{0, 31}, {127, 159}}).complement();
  nfa.add_edge(other, characters, other);
  nfa.states[static_cast<size_t>(other)].epsilon.push_back(nfa.end);
  std::map<int32_t, std::map<char32_t, int32_t>> trie{{nfa.start, {}}};
  std::set<int32_t> closed{nfa.start};  // where no key ends: after a name, and after nothing
  for (const std::string& name : names) {
    int32_t state = nfa.start;
    for (const char32_t c : to_characters(name)) {
      const auto [child, is_new] = trie[state].try_emplace(c, -1);
      if (is_new) child->second = nfa.add_state();
      state = child->second;
      trie.try_emplace(state);
    }
    closed.insert(state);
  }
  for (const auto& [state, children] : trie) {
    std::vector<std::pair<char32_t, char32_t>> taken{{0, 31}, {127, 159}};
    for (const auto& [c, child] : children) {
      nfa.add_edge(state, CharacterSet({{c, c}}), child);
      taken.push_back({c, c});
    }
    nfa.add_edge(state, CharacterSet(std::move(taken)).complement(), other);
    if (!closed.contains(state)) nfa.states[static_cast<size_t>(state)].epsilon.push_back(nfa.end);
  }
  return nfa;
}

}  // namespace starling
