#include "server/constraints.h"

#include <algorithm>

namespace starling {
namespace {

constexpr size_t kMaxKept = 32, kMaxKeptBytes = size_t{256} << 20;
constexpr double kWarmUpSeconds = 0.1;

}  // namespace

std::shared_ptr<const TokenTrie> Constraints::trie_of(const Engine& engine, const std::vector<SpecialToken>& spelled) {
  std::string key = engine.name();
  for (const SpecialToken& token : spelled) key += '\n' + token.text;
  {
    std::lock_guard lock(mutex_);
    if (const auto known = tries_.find(key); known != tries_.end()) return known->second;
  }
  auto made = std::make_shared<const TokenTrie>(engine.tokenizer(), spelled);
  std::lock_guard lock(mutex_);
  return tries_.try_emplace(key, std::move(made)).first->second;
}

// Down to the limits. A constraint grows while it is used, so all are asked; the newest stays in any case.
void Constraints::drop_oldest() {
  size_t count = 0, bytes = 0;
  const auto last = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) {
    bytes += kept.constraint->bytes();
    return ++count > 1 && (count > kMaxKept || bytes > kMaxKeptBytes);
  });
  kept_.erase(last, kept_.end());
}

std::shared_ptr<GrammarConstraint> Constraints::get(const Engine& engine, const std::string& source,
                                                    const Compile& compile, const std::vector<SpecialToken>& spelled) {
  const std::string key = engine.name() + '\n' + source;
  {
    std::lock_guard lock(mutex_);
    const auto known = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& k) { return k.source == key; });
    if (known != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, known);
      return known->constraint;
    }
  }
  auto constraint = std::make_shared<GrammarConstraint>(compile(), trie_of(engine, spelled));
  constraint->warm_up(kWarmUpSeconds);
  std::lock_guard lock(mutex_);
  kept_.push_front({key, constraint});
  drop_oldest();
  return constraint;
}

}  // namespace starling
