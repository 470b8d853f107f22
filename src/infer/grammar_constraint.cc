#include "infer/grammar_constraint.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/time.h"

namespace starling {
namespace {

constexpr uint64_t kMaxWorkOfMask = 1'000'000;  // places visited for one mask: tens of milliseconds
// Of one memo, before new generations begin another.
constexpr size_t kManyAutomatonBytes = GrammarAutomaton::kMaxBytes / 2, kManyMaskBytes = size_t{32} << 20;

bool is_empty(const TokenMask& mask) {
  return std::all_of(mask.begin(), mask.end(), [](uint64_t word) { return word == 0; });
}

}  // namespace

TokenTrie::TokenTrie(const Tokenizer& tokenizer, const std::vector<SpecialToken>& spelled)
    : vocab_size_(tokenizer.vocab_size()) {
  std::vector<bool> special(static_cast<size_t>(vocab_size_));
  for (const SpecialToken& token : tokenizer.special_tokens()) {
    if (token.id < 0 || token.id >= vocab_size_ || std::ranges::count(spelled, token.id, &SpecialToken::id)) continue;
    special[static_cast<size_t>(token.id)] = true;
    specials_.push_back(token.id);
  }
  for (TokenId id = 0; id < vocab_size_; ++id)
    bytes_.push_back(special[static_cast<size_t>(id)] ? "" : tokenizer.token_bytes(id));
  for (const SpecialToken& token : spelled) bytes_[static_cast<size_t>(token.id)] = token.text;
  for (TokenId id = 0; id < vocab_size_; ++id)
    if (!bytes_[static_cast<size_t>(id)].empty()) tokens_.push_back(id);
  std::stable_sort(tokens_.begin(), tokens_.end(), [&](TokenId a, TokenId b) { return bytes(a) < bytes(b); });
  std::vector<int32_t> path;  // the nodes of the last token's bytes
  std::string_view before;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view text = bytes(tokens_[i]);
    const size_t common = static_cast<size_t>(
        std::mismatch(before.begin(), before.end(), text.begin(), text.end()).first - before.begin());
    for (; path.size() > common; path.pop_back())
      nodes_[static_cast<size_t>(path.back())].end = static_cast<int32_t>(nodes_.size());
    for (size_t at = common; at < text.size(); ++at) {
      path.push_back(static_cast<int32_t>(nodes_.size()));
      nodes_.push_back({static_cast<uint8_t>(text[at]), static_cast<int32_t>(at + 1), 0, static_cast<int32_t>(i), 0});
    }
    ++nodes_[static_cast<size_t>(path.back())].token_count;
    before = text;
  }
  for (const int32_t node : path) nodes_[static_cast<size_t>(node)].end = static_cast<int32_t>(nodes_.size());
}

GrammarConstraint::GrammarConstraint(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie)
    : grammar_(std::move(grammar)), trie_(std::move(trie)), memo_(std::make_shared<Memo>(grammar_)) {}

std::shared_ptr<GrammarConstraint::Memo> GrammarConstraint::memo() {
  std::lock_guard lock(mutex_);
  bool large;
  {
    std::lock_guard inner(memo_->mutex);
    large = memo_->automaton.bytes() > kManyAutomatonBytes || memo_->mask_bytes() > kManyMaskBytes;
  }
  if (large) memo_ = std::make_shared<Memo>(grammar_);
  return memo_;
}

// visit(trie node, the state after its bytes) for every node whose bytes the automaton takes.
template <typename Visit>
void GrammarConstraint::walk(Memo& memo, GrammarAutomaton::StateId from, const Visit& visit) const {
  std::vector<GrammarAutomaton::StateId> path{from};
  const uint64_t most = memo.automaton.work() + kMaxWorkOfMask;
  const std::vector<TokenTrie::Node>& nodes = trie_->nodes();
  for (size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const auto depth = static_cast<size_t>(node.depth);
    const GrammarAutomaton::StateId to = memo.automaton.step(path[depth - 1], node.byte);
    if (memo.automaton.work() > most)
      throw ConfigError("the next token takes too long to find; make the alternatives differ earlier");
    if (to == GrammarAutomaton::kDead) {
      i = static_cast<size_t>(node.end);
      continue;
    }
    path.resize(std::max(path.size(), depth + 1));
    path[depth] = to;
    if (node.token_count > 0) visit(node, to);
    ++i;
  }
}

std::shared_ptr<const TokenMask> GrammarConstraint::mask(Memo& memo, GrammarAutomaton::StateId state) const {
  if (const auto known = memo.masks.find(state); known != memo.masks.end()) return known->second;
  // Made before it has a place among the others, where none stays empty when it cannot be made.
  auto mask = std::make_shared<const TokenMask>(near_end_mask(memo, state, std::numeric_limits<int64_t>::max()));
  return memo.masks[state] = std::move(mask);
}

TokenMask GrammarConstraint::near_end_mask(Memo& memo, GrammarAutomaton::StateId state, int64_t tokens_left) const {
  TokenMask mask(static_cast<size_t>(trie_->vocab_size() + 63) / 64);
  const auto allow = [&](TokenId token) { mask[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64); };
  walk(memo, state, [&](const TokenTrie::Node& node, GrammarAutomaton::StateId to) {
    if (memo.automaton.distance(to) > tokens_left - 1) return;
    for (int32_t i = 0; i < node.token_count; ++i) allow(trie_->tokens()[static_cast<size_t>(node.first_token + i)]);
  });
  if (memo.automaton.accepts(state)) std::for_each(trie_->specials().begin(), trie_->specials().end(), allow);
  return mask;
}

void GrammarConstraint::warm_up(double seconds) {
  const std::shared_ptr<Memo> memo = this->memo();
  const double end_s = monotonic_s() + seconds;
  std::deque<GrammarAutomaton::StateId> waiting{memo->automaton.start()};
  std::set<GrammarAutomaton::StateId> seen{memo->automaton.start()};
  while (!waiting.empty() && monotonic_s() < end_s) {
    std::lock_guard lock(memo->mutex);
    if (memo->automaton.bytes() > kManyAutomatonBytes / 2) return;  // the rest is for what is really met
    const GrammarAutomaton::StateId state = waiting.front();
    waiting.pop_front();
    mask(*memo, state);
    for (int byte = 0; byte < 256; ++byte) {
      const GrammarAutomaton::StateId to = memo->automaton.step(state, static_cast<uint8_t>(byte));
      if (to != GrammarAutomaton::kDead && seen.insert(to).second) waiting.push_back(to);
    }
  }
}

size_t GrammarConstraint::bytes() {
  std::lock_guard lock(mutex_);
  std::lock_guard inner(memo_->mutex);
  return grammar_->bytes() + memo_->automaton.bytes() + memo_->mask_bytes();
}

ConstraintCursor::ConstraintCursor(std::shared_ptr<GrammarConstraint> constraint)
    : constraint_(std::move(constraint)), memo_(constraint_->memo()), state_(memo_->automaton.start()) {}

void ConstraintCursor::apply(const TokenMask& mask, std::span<float> logits) const {
  constexpr float kNo = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i)
    if (i / 64 >= mask.size() || !mask_has(mask, static_cast<TokenId>(i))) logits[i] = kNo;
}

void ConstraintCursor::mask(std::span<float> logits) {
  std::lock_guard lock(memo_->mutex);
  const std::shared_ptr<const TokenMask> mask = constraint_->mask(*memo_, state_);
  if (is_empty(*mask)) throw ConfigError("no token of the vocabulary can continue the text as the grammar asks");
  apply(*mask, logits);
}

GrammarAutomaton::StateId ConstraintCursor::after(TokenId token) {
  GrammarAutomaton::StateId state = state_;
  for (const char c : constraint_->trie_->bytes(token)) state = memo_->automaton.step(state, static_cast<uint8_t>(c));
  return state;
}

bool ConstraintCursor::leaves_room(TokenId token, int64_t tokens_left) {
  std::lock_guard lock(memo_->mutex);
  const GrammarAutomaton::StateId state = after(token);
  return state == GrammarAutomaton::kDead || memo_->automaton.distance(state) < tokens_left;
}

void ConstraintCursor::mask_near_end(std::span<float> logits, int64_t tokens_left) {
  std::lock_guard lock(memo_->mutex);
  const TokenMask mask = constraint_->near_end_mask(*memo_, state_, tokens_left);
  if (!is_empty(mask)) apply(mask, logits);
}

void ConstraintCursor::advance(TokenId token) {
  std::lock_guard lock(memo_->mutex);
  state_ = after(token);
}

bool ConstraintCursor::complete() const {
  std::lock_guard lock(memo_->mutex);
  return state_ == GrammarAutomaton::kDead || !memo_->automaton.goes_on(state_);
}

void ConstraintCursor::prepare() {
  std::lock_guard lock(memo_->mutex);
  const GrammarAutomaton::StateId state = state_;
  if (state == GrammarAutomaton::kDead || !memo_->automaton.goes_on(state)) return;
  try {
    constraint_->mask(*memo_, state);
  } catch (const ConfigError&) {  // mask() will meet the same limit, where the generation can end with it
  }
}

}  // namespace starling
