// What a client asks its output to be, as compiled grammars: made on the request's thread, never on the engine's, under
// limits of time and size; the newest are kept, because a product sends the same schema again and again. Thread-safe.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "infer/grammar_constraint.h"

namespace starling {

class Constraints {
 public:
  using Compile = std::function<std::shared_ptr<const Grammar>()>;

  // `source` says all that the grammar is made of; `spelled` are special tokens that it takes as their text. Throws
  // ConfigError as `compile` does, and when the grammar can be read in too many ways.
  std::shared_ptr<GrammarConstraint> get(const Engine& engine, const std::string& source, const Compile& compile,
                                         const std::vector<SpecialToken>& spelled = {});

 private:
  std::shared_ptr<const TokenTrie> trie_of(const Engine& engine, const std::vector<SpecialToken>& spelled);
  void drop_oldest();

  struct Kept {
    std::string source;
    std::shared_ptr<GrammarConstraint> constraint;
  };
  std::mutex mutex_;
  std::list<Kept> kept_;                                           // newest first
  std::map<std::string, std::shared_ptr<const TokenTrie>> tries_;  // by the model's name and what is spelled
};

}  // namespace starling
