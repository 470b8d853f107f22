// A grammar over a tokenizer's tokens: which tokens may come next. Masks are made when they are first needed and kept,
// so a constraint that serves many requests gets faster.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "infer/grammar_automaton.h"
#include "tokenizer/tokenizer.h"

namespace starling {

// The bytes of every token as a trie in depth-first order. Immutable.
class TokenTrie {
 public:
  // `spelled`: special tokens that stand for their text; the others may follow where the grammar has ended.
  explicit TokenTrie(const Tokenizer& tokenizer, const std::vector<SpecialToken>& spelled = {});

  struct Node {
    uint8_t byte;
    int32_t depth;                     // 1 for a token's first byte
    int32_t end;                       // the node after all below this one
    int32_t first_token, token_count;  // of tokens(): those whose bytes end here
  };
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<TokenId>& tokens() const { return tokens_; }
  const std::vector<TokenId>& specials() const { return specials_; }
  int64_t vocab_size() const { return vocab_size_; }
  std::string_view bytes(TokenId token) const { return bytes_[static_cast<size_t>(token)]; }

 private:
  int64_t vocab_size_;
  std::vector<std::string> bytes_;
  std::vector<Node> nodes_;
  std::vector<TokenId> tokens_, specials_;
};

using TokenMask = std::vector<uint64_t>;  // bit t: token t may come next
inline bool mask_has(const TokenMask& mask, TokenId t) { return mask[static_cast<size_t>(t) / 64] >> (t % 64) & 1; }

class GrammarConstraint {
 public:
  GrammarConstraint(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie);

  // Makes the masks that are needed first, for at most `seconds`. Throws ConfigError as the automaton does: a
  // constraint that is too ambiguous is known before a generation begins.
  void warm_up(double seconds);

  size_t bytes();  // of memory that it keeps, about; generations under way may hold older memos of at most as much

 private:
  friend class ConstraintCursor;
  // The states and masks so far. A new one is begun when it has grown large; cursors under way keep theirs.
  struct Memo {
    explicit Memo(const std::shared_ptr<const Grammar>& grammar) : automaton(grammar) {}
    std::mutex mutex;
    GrammarAutomaton automaton;
    std::unordered_map<GrammarAutomaton::StateId, std::shared_ptr<const TokenMask>> masks;
    size_t mask_bytes() const { return masks.empty() ? 0 : masks.size() * masks.begin()->second->size() * 8; }
  };
  std::shared_ptr<Memo> memo();
  std::shared_ptr<const TokenMask> mask(Memo& memo, GrammarAutomaton::StateId state) const;
  TokenMask near_end_mask(Memo& memo, GrammarAutomaton::StateId state, int64_t tokens_left) const;
  template <typename Visit>
  void walk(Memo& memo, GrammarAutomaton::StateId from, const Visit& visit) const;

  const std::shared_ptr<const Grammar> grammar_;
  const std::shared_ptr<const TokenTrie> trie_;
  std::mutex mutex_;
  std::shared_ptr<Memo> memo_;
};

// One generation's place in a constraint.
class ConstraintCursor {
 public:
  explicit ConstraintCursor(std::shared_ptr<GrammarConstraint> constraint);

  // Sets the logits of tokens that may not come next to -infinity. Throws ConfigError when the automaton passes a
  // limit, or when no token may come.
  void mask(std::span<float> logits);
  // False when the text could no longer come to an end within `tokens_left` tokens, `token` among them. Then
  // mask_near_end() allows only tokens after which it can, unless there is none.
  bool leaves_room(TokenId token, int64_t tokens_left);
  void mask_near_end(std::span<float> logits, int64_t tokens_left);
  void advance(TokenId token);
  bool complete() const;  // nothing may follow

  // Makes the next mask ahead of time; from any thread.
  void prepare();

 private:
  GrammarAutomaton::StateId after(TokenId token);
  void apply(const TokenMask& mask, std::span<float> logits) const;
  std::shared_ptr<GrammarConstraint> constraint_;
  std::shared_ptr<GrammarConstraint::Memo> memo_;
  std::atomic<GrammarAutomaton::StateId> state_;
};

}  // namespace starling
