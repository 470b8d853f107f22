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
  nfa.states[static_cast<size_t>(other)].edges.push_back({characters, other});
  nfa.states[static_cast<size_t>(other)].epsilon.push_back(nfa.end);
  std::map<std::u32string, int32_t> known{{U"", nfa.start}};
  std::set<std::u32string> whole;
  for (const std::string& utf8 : names) {
    const std::u32string name = to_characters(utf8);
    whole.insert(name);
    for (size_t length = 1; length <= name.size(); ++length)
      if (!known.contains(name.substr(0, length))) known[name.substr(0, length)] = nfa.add_state();
  }
  std::map<int32_t, std::vector<std::pair<char32_t, char32_t>>> taken;
  for (const auto& [prefix, state] : known) {
    if (prefix.empty()) continue;
    const int32_t parent = known.at(prefix.substr(0, prefix.size() - 1));
    nfa.states[static_cast<size_t>(parent)].edges.push_back({CharacterSet({{prefix.back(), prefix.back()}}), state});
    taken[parent].push_back({prefix.back(), prefix.back()});
    if (!whole.contains(prefix)) nfa.states[static_cast<size_t>(state)].epsilon.push_back(nfa.end);
  }
  for (const auto& [prefix, state] : known) {
    std::vector<std::pair<char32_t, char32_t>> out = taken[state];
    out.insert(out.end(), {{0, 31}, {127, 159}});
    nfa.states[static_cast<size_t>(state)].edges.push_back({CharacterSet(out).complement(), other});
  }
  return nfa;
}

}  // namespace starling
