#include "ads/verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "ads/lexicon.h"
#include "ads/text_scan.h"
#include "ads/units.h"
#include "core/time.h"

namespace starling {
namespace {

using Tokens = std::vector<ScanToken>;

struct Verdict {
  std::string fact_id, reason;  // no reason: supported
  bool proven() const { return reason.empty(); }
};

// What a part of a clause has to prove, at tokens [first, last].
struct Item {
  ClaimKind kind = ClaimKind::plain;
  size_t first = 0, last = 0;
  const Quantity* quantity = nullptr;
  const DateMention* date = nullptr;
  Verdict verdict = {};
};

ClaimKind quantity_kind(const Quantity& quantity) {
  if (quantity.dimension.starts_with("currency")) return ClaimKind::currency;
  return quantity.dimension.empty() ? ClaimKind::number : ClaimKind::unit;
}

std::string validity(const Fact& fact) {
  if (fact.valid_to_s && fact.valid_from_s)
    return fmt::format("from {} to {}", format_time(*fact.valid_from_s), format_time(*fact.valid_to_s));
  return fact.valid_to_s ? "until " + format_time(*fact.valid_to_s)
                         : "from " + format_time(fact.valid_from_s.value_or(0));
}

std::string describe(const Fact& fact) {
  return fmt::format("{} = {}{}{}", fact.id, fact.value, fact.unit.empty() ? "" : " ", fact.unit);
}

std::string per(const std::string& rate) { return rate.empty() ? rate : rate == kEvery ? "“every …”" : "per " + rate; }

bool is_absolute_at(const Tokens& tokens, size_t at) {
  const std::string& word = tokens[at].text;
  if (word == "#" && at + 1 < tokens.size() && tokens[at + 1].type == ScanType::number) return true;
  return tokens[at].type == ScanType::word && is_absolute_word(word);
}

// "learn more", "find out more" and "see more" invite; other uses of "more" compare.
bool is_inviting_more(const Tokens& tokens, size_t at) {
  if (tokens[at].text != "more" || at == 0) return false;
  static constexpr std::string_view kVerbs[] = {"learn", "read", "discover", "see", "explore", "out", "know"};
  const bool invited = std::find(std::begin(kVerbs), std::end(kVerbs), tokens[at - 1].text) != std::end(kVerbs);
  const bool ends = at + 1 >= tokens.size() || tokens[at + 1].type == ScanType::stop ||
                    tokens[at + 1].type == ScanType::comma || tokens[at + 1].text == "about" ||
                    tokens[at + 1].text == "at" || tokens[at + 1].text == "on";
  return invited && ends;
}

// One clause of the ad: the tokens [begin, end).
class Clause {
 public:
  Clause(const FactLedger& ledger, const Tokens& tokens, std::string_view text, const Mentions& mentions, size_t begin,
         size_t end)
      : ledger_(ledger), tokens_(tokens), text_(text), begin_(begin), end_(end) {
    for (size_t i = begin; i < end; ++i) {
      if (tokens_[i].type == ScanType::word) words_.insert(singular(tokens_[i].text));
    }
    find_items(mentions);
    for (Item& item : items_) item.verdict = item_verdict(item);  // in order: one may rest on those before it
  }

  std::vector<Claim> claims() const {
    std::vector<Claim> found;
    size_t part = begin_;
    for (size_t i = 0; i < items_.size(); ++i) {
      const size_t part_end = i + 1 < items_.size() ? items_[i].last + 1 : end_;
      found.push_back(claim(part, part_end, items_[i]));
      part = part_end;
    }
    if (items_.empty()) found.push_back(claim(begin_, end_, Item{}));
    return found;
  }

 private:
  bool covered(size_t at) const {
    return std::any_of(items_.begin(), items_.end(),
                       [at](const Item& item) { return at >= item.first && at <= item.last; });
  }

  // "free" is an absolute word, but "free of X" and "X-free" are negations.
  bool is_free_of(size_t at) const {
    if (tokens_[at].text != "free") return false;
    if (at + 1 < end_ && (tokens_[at + 1].text == "of" || tokens_[at + 1].text == "from")) return true;
    const bool hyphen = at > begin_ + 1 && tokens_[at - 1].text == "-";
    const size_t noun = hyphen ? at - 2 : at - 1;
    return at > begin_ && tokens_[noun].type == ScanType::word &&
           (hyphen || ledger_.negative_with_word(singular(tokens_[noun].text)) != nullptr);
  }

  void find_items(const Mentions& mentions) {
    for (const Quantity& quantity : mentions.quantities) {
      if (quantity.first >= begin_ && quantity.last < end_)
        items_.push_back({quantity_kind(quantity), quantity.first, quantity.last, &quantity, nullptr});
    }
    for (const DateMention& date : mentions.dates) {
      if (date.first >= begin_ && date.last < end_)
        items_.push_back({ClaimKind::date, date.first, date.last, nullptr, &date});
    }
    for (size_t at = begin_; at < end_; ++at) {
      const bool negates = is_negation_word(tokens_[at].text) || is_free_of(at);
      const bool zero_of = negates && tokens_[at].text == "zero";
      if (covered(at) && !zero_of) continue;
      if (negates) {
        if (zero_of) std::erase_if(items_, [at](const Item& item) { return at >= item.first && at <= item.last; });
        items_.push_back({ClaimKind::negation, at, at, nullptr, nullptr});
      } else if (is_absolute_at(tokens_, at) && !is_inviting_more(tokens_, at)) {
        items_.push_back({ClaimKind::superlative, at, at, nullptr, nullptr});
      }
    }
    std::sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) { return a.first < b.first; });
  }

  Claim claim(size_t begin, size_t end, const Item& item) const {
    Claim out{.begin = tokens_[begin].begin, .end = tokens_[end - 1].end, .kind = item.kind};
    out.text = std::string(text_.substr(out.begin, out.end - out.begin));
    Verdict verdict = item.verdict;
    if (verdict.proven()) {
      const Verdict words = words_verdict(begin, end, item, out.kind);
      verdict.reason = words.reason;
      if (verdict.fact_id.empty()) verdict.fact_id = words.fact_id;
    }
    out.supported = verdict.proven();
    out.fact_id = verdict.fact_id;
    out.reason = verdict.reason;
    return out;
  }

  Verdict item_verdict(const Item& item) const {
    if (item.quantity != nullptr) return quantity_verdict(*item.quantity);
    if (item.date != nullptr) return date_verdict(*item.date);
    if (item.kind == ClaimKind::negation) return negation_verdict(item.first);
    if (item.kind == ClaimKind::superlative) return absolute_verdict(item.first);
    return {};
  }

  bool negated() const {
    return std::any_of(items_.begin(), items_.end(), [](const Item& item) { return item.kind == ClaimKind::negation; });
  }

  // The fact-name word nearest to a quantity decides what it is a quantity of. "of", "is" and ":" before it look back,
  // else a word behind wins a tie.
  const std::string nearest_name_word(const Quantity& quantity) const {
    size_t low = begin_, high = end_;
    for (const Item& item : items_) {
      if (item.quantity == nullptr || item.quantity == &quantity) continue;
      if (item.last < quantity.first) low = std::max(low, item.last + 1);
      if (item.first > quantity.last) high = std::min(high, item.first);
    }
    // Behind "and" or "with" the clause goes on to something else.
    for (size_t at = quantity.last + 1; at < high; ++at) {
      if (is_joint(at)) high = at;
    }
    const std::string before = quantity.first > low ? tokens_[quantity.first - 1].text : std::string();
    const bool looks_back = before == "of" || before == "is" || before == ":";
    if (before == ":" && names_some_fact(quantity.last + 1, high) && is_told(quantity.first - 1)) low = quantity.first;
    std::string best;
    size_t best_distance = SIZE_MAX;
    for (size_t at = low; at < high; ++at) {
      if ((at >= quantity.first && at <= quantity.last) || !names_some_fact(singular(tokens_[at].text))) continue;
      const bool behind = at > quantity.last;
      size_t distance = 2 * (behind ? at - quantity.last : quantity.first - at) + (behind == looks_back ? 1 : 0);
      if (looks_back && behind) distance += 2 * tokens_.size();
      if (distance < best_distance) best = singular(tokens_[at].text), best_distance = distance;
    }
    return best;
  }
  // "Free shipping: 3 years of warranty": the name before the colon is that of what an item before it has proven.
  bool is_told(size_t colon) const {
    size_t after = colon;
    while (after > begin_ && !names_some_fact(after - 1, after)) --after;
    if (after == begin_) return false;
    const std::string name = singular(tokens_[after - 1].text);
    return std::any_of(items_.begin(), items_.end(), [&](const Item& item) {
      if (item.last >= colon || !item.verdict.proven()) return false;
      return std::any_of(ledger_.facts().begin(), ledger_.facts().end(), [&](const AttestedFact& fact) {
        return fact.fact->id == item.verdict.fact_id && fact.name_words.contains(name);
      });
    });
  }
  bool names_some_fact(size_t begin, size_t end) const {
    while (begin < end && !names_some_fact(singular(tokens_[begin].text))) ++begin;
    return begin < end;
  }
  bool names_some_fact(const std::string& word) const {
    if (ledger_.names_product(word)) return false;
    return std::any_of(ledger_.facts().begin(), ledger_.facts().end(),
                       [&](const AttestedFact& fact) { return fact.name_words.contains(word); });
  }

  // A number counts for a fact when the clause says what it is of: a word of the fact's name or value, the counted
  // noun, or money.
  bool speaks_of(const AttestedFact& fact, const Quantity& attested, const Quantity& claimed) const {
    if (claimed.dimension.starts_with("currency")) return true;
    if (!attested.counted.empty() && attested.dimension.empty() && !words_.contains(attested.counted) &&
        claimed.counted != attested.counted)
      return false;
    const auto said = [this](const std::string& word) { return words_.contains(word); };
    return std::any_of(fact.name_words.begin(), fact.name_words.end(), said) ||
           (!fact.fact->unit.empty() ? false : std::any_of(fact.value_words.begin(), fact.value_words.end(), said));
  }

  // The rate that tokens [begin, end) give: "per month", "a day", "monthly"; "each" alone is one too.
  std::string rate_between(size_t begin, size_t end) const {
    for (size_t at = begin; at < end; ++at) {
      const std::string &word = tokens_[at].text, next = at + 1 < end ? singular(tokens_[at + 1].text) : std::string();
      if (word == "per" || word == "each" || word == "every") return next.empty() ? word : next;
      if (const auto period = find_period_adverb(word)) return *period;
      if ((word != "a" && word != "an" && word != "/") || next.empty()) continue;
      if (const auto unit = find_unit(next, next); unit && unit->dimension.ends_with("time")) return next;
    }
    return {};
  }

  // A quantity's rate, also where the noun stands between ("16 GB memory a month") or, with the clause's first
  // quantity, before it.
  std::string rate_of(const Quantity& claimed) const {
    if (!claimed.rate.empty()) return claimed.rate;
    bool first = true;
    size_t end = end_;
    for (const Item& item : items_) {
      if (item.quantity == nullptr) continue;
      first = first && item.first >= claimed.first;
      if (item.first > claimed.last) end = std::min(end, item.first);
    }
    std::string behind = rate_between(claimed.last + 1, end);
    if (behind.empty() && has_interval_beside(claimed)) behind = kEvery;
    return behind.empty() && first ? rate_between(begin_, claimed.first) : behind;
  }

  bool is_joint(size_t at) const {
    const std::string& word = tokens_[at].text;
    return word == "and" || word == "with" || word == "plus";
  }

  // "250 g of coffee every two weeks", "every two weeks 250 g"; not "250 g and delivery every two weeks".
  bool has_interval_beside(const Quantity& claimed) const {
    const auto together = [this](size_t begin, size_t end) {
      size_t joint = begin;
      while (joint < end && !is_joint(joint)) ++joint;
      return !names_some_fact(joint, end);
    };
    return std::any_of(items_.begin(), items_.end(), [&](const Item& item) {
      if (item.quantity == nullptr || item.quantity->rate != kEvery) return false;
      return item.first > claimed.last ? together(claimed.last + 1, item.first)
                                       : together(item.last + 1, claimed.first);
    });
  }

  // How often is said of the words beside it: of "delivery every two weeks" and "roasted every two weeks" one is true.
  std::string other_word_beside(const Quantity& interval, const AttestedFact& fact) const {
    const auto is_other = [&](size_t at) {
      const std::string word = singular(tokens_[at].text);
      return states(at) && !ledger_.names_product(word) && !fact.name_words.contains(word) &&
             !fact.value_words.contains(word);
    };
    for (size_t at = interval.first; at-- > begin_ && !covered(at) && !is_joint(at);)
      if (is_other(at)) return tokens_[at].raw;
    for (size_t at = interval.last + 1; at < end_ && !covered(at) && !is_joint(at); ++at)
      if (is_other(at)) return tokens_[at].raw;
    return {};
  }

  // "75 % of 75 %" is neither.
  bool is_share_of_another(const Quantity& claimed) const {
    return claimed.last + 1 < end_ && tokens_[claimed.last + 1].text == "of" &&
           std::any_of(items_.begin(), items_.end(),
                       [&](const Item& item) { return item.quantity != nullptr && item.first == claimed.last + 2; });
  }

  Verdict quantity_verdict(const Quantity& claimed) const {
    if (negated()) return {{}, fmt::format("“{}” stands in a negation, which no fact attests", claimed.shown)};
    if (is_share_of_another(claimed)) return {{}, fmt::format("“{}” is a part of another number", claimed.shown)};
    std::string closest;
    for (const AttestedFact& fact : ledger_.facts()) {
      for (const Quantity& attested : fact.quantities) {
        if (attested.dimension != claimed.dimension) continue;
        const std::string problem = quantity_problem(fact, attested, claimed);
        if (problem.empty()) return {fact.fact->id, {}};
        if (closest.empty() || proves(attested, claimed)) closest = problem;
      }
    }
    if (closest.empty()) closest = "no fact gives such a value";
    return {{}, fmt::format("“{}”: {}", claimed.shown, closest)};
  }

  std::string quantity_problem(const AttestedFact& fact, const Quantity& attested, const Quantity& claimed) const {
    if (!proves(attested, claimed)) return fmt::format("the fact says {}", describe(*fact.fact));
    if (!fact.valid) return fmt::format("the fact {} is valid only {}", fact.fact->id, validity(*fact.fact));
    const std::string rate = rate_of(claimed);
    if (!rate.empty() && rate != fact.rate) {
      return fmt::format("the fact {} is not {}{}{}", fact.fact->id, per(rate), fact.rate.empty() ? "" : ", but ",
                         per(fact.rate));
    }
    if (rate.empty() && !fact.rate.empty() && (fact.rate == kEvery || !words_.contains(fact.rate))) {
      return fmt::format("the fact {} is {}, which the ad leaves out", fact.fact->id, per(fact.rate));
    }
    if (!speaks_of(fact, attested, claimed))
      return fmt::format("the clause does not say that this is the {}", fact.fact->name);
    const std::string about = rate == kEvery ? other_word_beside(claimed, fact) : nearest_name_word(claimed);
    if (!about.empty() && !fact.name_words.contains(about) && !fact.value_words.contains(about)) {
      return fmt::format("this is the {}, not the {}", fact.fact->name, about);
    }
    return {};
  }

  Verdict date_verdict(const DateMention& claimed) const {
    if (claimed.ambiguous)
      return {{}, fmt::format("“{}” can be read as two days: write the month as a word", claimed.shown)};
    if (negated()) return {{}, fmt::format("“{}” stands in a negation, which no fact attests", claimed.shown)};
    std::string problem = "no fact gives this date";
    for (const AttestedFact& fact : ledger_.facts()) {
      for (const DateMention& attested : fact.dates) {
        if (!proves(attested, claimed)) continue;
        if (attested.bound != claimed.bound) {
          problem =
              fmt::format("the fact {} says “{}” of that day, not “{}”", fact.fact->id,
                          attested.bound.empty() ? "on" : attested.bound, claimed.bound.empty() ? "on" : claimed.bound);
          continue;
        }
        if (!fact.valid) {
          problem = fmt::format("the fact {} is valid only {}", fact.fact->id, validity(*fact.fact));
          continue;
        }
        const auto said = [this](const std::string& word) { return words_.contains(word); };
        if (std::any_of(fact.name_words.begin(), fact.name_words.end(), said)) return {fact.fact->id, {}};
        problem = fmt::format("the clause does not say that this is the {}", fact.fact->name);
      }
    }
    return {{}, fmt::format("“{}”: {}", claimed.shown, problem)};
  }

  // The content words that a negation at `cue` denies.
  std::vector<size_t> negation_scope(size_t cue) const {
    std::vector<size_t> scope;
    const bool prefix = tokens_[cue].text == "free" &&
                        !(cue + 1 < end_ && (tokens_[cue + 1].text == "of" || tokens_[cue + 1].text == "from"));
    if (prefix) {
      for (size_t at = cue; at-- > begin_;) {
        if (tokens_[at].type == ScanType::word) return {at};
      }
      return scope;
    }
    const bool broad = tokens_[cue].text != "no" && tokens_[cue].text != "without" && tokens_[cue].text != "zero" &&
                       tokens_[cue].text != "free";
    for (size_t at = cue + 1; at < end_; ++at) {
      const ScanToken& token = tokens_[at];
      const bool joins = token.text == "or" || token.text == "and" || token.text == "of" || token.text == "from" ||
                         token.text == "any" || token.text == "a" || token.text == "the" || token.text == "-";
      if (joins || (broad && is_structural_word(token.text))) continue;
      if (token.type != ScanType::word && token.type != ScanType::code) break;
      if (is_structural_word(token.text)) break;
      scope.push_back(at);
    }
    return scope;
  }

  Verdict negation_verdict(size_t cue) const {
    const auto is_negation = [](const Item& item) { return item.kind == ClaimKind::negation; };
    if (std::count_if(items_.begin(), items_.end(), is_negation) > 1) return {{}, "the clause holds two negations"};
    const std::vector<size_t> scope = negation_scope(cue);
    if (scope.empty()) return {{}, fmt::format("no fact attests what “{}” denies", tokens_[cue].raw)};
    std::string fact_id;
    for (const size_t at : scope) {
      const AttestedFact* fact = ledger_.negative_with_word(singular(tokens_[at].text));
      if (fact == nullptr) return {{}, fmt::format("no fact attests “{} … {}”", tokens_[cue].raw, tokens_[at].raw)};
      if (!denied_words(*fact).contains(singular(tokens_[at].text)) || !names_whole(*fact, scope))
        return {{}, fmt::format("the fact {} denies only “{}”", fact->fact->id, fact->fact->name)};
      fact_id = fact->fact->id;
    }
    return {fact_id, {}};
  }
  // What the fact says is not there: its name, or what its value denies ("no fan" of the noise).
  static const std::set<std::string>& denied_words(const AttestedFact& fact) {
    const std::string value = fold_text(fact.fact->value);
    const bool denies_name =
        value == "false" || value == "none" || value == "no" || value == "0" || fact.value_words.empty();
    return denies_name ? fact.name_words : fact.value_words;
  }
  // "no sugar" is more than "added sugar: none" attests: every word of what is denied must be said.
  bool names_whole(const AttestedFact& fact, const std::vector<size_t>& scope) const {
    const std::set<std::string>& denied = denied_words(fact);
    return std::all_of(denied.begin(), denied.end(), [&](const std::string& word) {
      return std::any_of(scope.begin(), scope.end(), [&](size_t at) { return singular(tokens_[at].text) == word; });
    });
  }

  // An absolute word needs a fact that uses it, with the whole of that fact's value quoted and its name spoken of.
  Verdict absolute_verdict(size_t at) const {
    const std::string& word = tokens_[at].text;
    if (negated()) return {{}, fmt::format("“{}” stands in a negation, which no fact attests", tokens_[at].raw)};
    const auto same_word = [&](const Item& item) {
      return item.kind == ClaimKind::superlative && tokens_[item.first].text == word;
    };
    if (std::count_if(items_.begin(), items_.end(), same_word) > 1)
      return {{}, fmt::format("the clause says “{}” twice", tokens_[at].raw)};
    for (const AttestedFact& fact : ledger_.facts()) {
      if (!fact.valid || fact.negative) continue;
      const bool uses = fact.name_words.contains(singular(word)) || fact.value_words.contains(singular(word));
      if (!uses || !quotes_in_full(fact)) continue;
      const std::string subject = other_subject(at, fact);
      if (!subject.empty()) return {{}, fmt::format("“{}” is said of “{}”", tokens_[at].raw, subject)};
      const std::string other = other_fact_after(at, fact);
      if (!other.empty()) return {{}, fmt::format("“{}” is said of the {} too", tokens_[at].raw, other)};
      return {fact.fact->id, {}};
    }
    return {{}, fmt::format("“{}” is absolute, and no fact says so in these words", tokens_[at].raw)};
  }

  // A word or number that tells of something: no absolute word, which is proven by itself.
  bool states(size_t at) const {
    const ScanToken& token = tokens_[at];
    if (token.type == ScanType::number || token.type == ScanType::code) return true;
    return token.type == ScanType::word && !is_structural_word(token.text) && !is_invitation_word(token.text) &&
           !is_absolute_word(token.text);
  }

  // What an absolute word speaks of, where it is not the fact: "free shipping" speaks of what follows, "shipping is
  // free" of what stands before, and "is" only of the last that "and" or "with" joins.
  std::string other_subject(size_t at, const AttestedFact& fact) const {
    const auto is_joint = [&](size_t i) { return tokens_[i].text == "and" || tokens_[i].text == "with"; };
    size_t begin = at + 1, end = begin;
    while (end < end_ && (states(end) || tokens_[end].text == "-" || is_absolute_word(tokens_[end].text))) ++end;
    if (end == begin) {
      begin = end = at;
      const bool of_one = at > begin_ && tokens_[at - 1].text == "is";
      while (begin > begin_ && !(of_one && is_joint(begin - 1))) --begin;
    }
    std::string other;
    bool speaks = fact.name_words.contains(singular(tokens_[at].text));
    for (size_t i = begin; i < end; ++i) {
      if (!states(i)) continue;
      const std::string word = singular(tokens_[i].text);
      const bool own = fact.name_words.contains(word) || fact.value_words.contains(word) ||
                       fact.value_numbers.contains(tokens_[i].text);
      speaks = speaks || own;
      if (!own && (other.empty() || !ledger_.names_product(word))) other = tokens_[i].raw;
      if (!own && !ledger_.names_product(word)) return other;
    }
    return speaks ? std::string() : other;
  }

  // "free shipping and support": a name that another fact has, between an absolute word and what the clause says next.
  std::string other_fact_after(size_t at, const AttestedFact& fact) const {
    for (++at; at < end_ && !covered(at); ++at) {
      const std::string word = singular(tokens_[at].text);
      if (names_some_fact(word) && !fact.name_words.contains(word) && !fact.value_words.contains(word)) return word;
    }
    return {};
  }

  bool quotes_in_full(const AttestedFact& fact) const {
    const auto said = [this](const std::string& word) { return words_.contains(word); };
    const auto written = [this](const std::string& number) {
      return std::any_of(tokens_.begin() + static_cast<ptrdiff_t>(begin_),
                         tokens_.begin() + static_cast<ptrdiff_t>(end_),
                         [&](const ScanToken& token) { return token.text == number; });
    };
    return std::all_of(fact.value_words.begin(), fact.value_words.end(), said) &&
           std::all_of(fact.value_numbers.begin(), fact.value_numbers.end(), written) &&
           std::any_of(fact.name_words.begin(), fact.name_words.end(), said);
  }

  // Every word of a part that its item does not explain.
  Verdict words_verdict(size_t begin, size_t end, const Item& item, ClaimKind& kind) const {
    std::vector<size_t> denied;
    for (const Item& other : items_) {
      if (other.kind == ClaimKind::negation) {
        const std::vector<size_t> scope = negation_scope(other.first);
        denied.insert(denied.end(), scope.begin(), scope.end());
      }
    }
    std::set<std::string> said;
    bool name = false;
    for (size_t at = begin; at < end; ++at) {
      if (covered(at) || std::find(denied.begin(), denied.end(), at) != denied.end()) continue;
      const bool named = tokens_[at].capital && at > begin_ && tokens_[at].type == ScanType::word &&
                         !is_structural_word(tokens_[at].text);
      const std::string problem = word_problem(tokens_[at]);
      if (!problem.empty()) {
        if (named && item.kind == ClaimKind::plain) kind = ClaimKind::name;
        return {{}, problem};
      }
      if (at + 1 < end && !covered(at + 1) && !may_stand_together(at, at + 1))
        return {{}, fmt::format("“{} {}”: no fact speaks of both", tokens_[at].raw, tokens_[at + 1].raw)};
      name = name || named;
      if (tokens_[at].type == ScanType::word) said.insert(singular(tokens_[at].text));
    }
    if (name && item.kind == ClaimKind::plain) kind = ClaimKind::name;
    return {best_fact(said), {}};
  }

  // Words side by side say something together, "open source processor": a fact must hold both, or both be of facts
  // about the product itself, as "organic coffee" and "coffee beans".
  bool may_stand_together(size_t first, size_t second) const {
    const auto is_free = [&](size_t at) {
      return tokens_[at].type != ScanType::word || !states(at) || ledger_.names_product(singular(tokens_[at].text));
    };
    if (is_free(first) || is_free(second)) return true;
    const std::string a = singular(tokens_[first].text), b = singular(tokens_[second].text);
    bool a_of_product = false, b_of_product = false;
    for (const AttestedFact& fact : ledger_.facts()) {
      if (!fact.valid) continue;
      const auto holds = [&](const std::string& word) {
        return fact.name_words.contains(word) || fact.value_words.contains(word);
      };
      if (holds(a) && holds(b)) return true;
      const bool of_product = std::any_of(fact.name_words.begin(), fact.name_words.end(),
                                          [&](const std::string& word) { return ledger_.names_product(word); });
      a_of_product = a_of_product || (of_product && holds(a));
      b_of_product = b_of_product || (of_product && holds(b));
    }
    return a_of_product && b_of_product;
  }

  std::string word_problem(const ScanToken& token) const {
    if (token.type == ScanType::word) {
      const std::string word = singular(token.text);
      if (is_structural_word(token.text) || ledger_.allows_word(word)) return {};
      // Before the invitations: "fans" may be invited, but not to a product without a fan.
      if (const AttestedFact* fact = ledger_.negative_with_word(word)) {
        return fmt::format("“{}” is said of the product, but the fact {} denies it", token.raw, fact->fact->id);
      }
      if (is_invitation_word(token.text) || token.text == "more") return {};
      if (const AttestedFact* fact = ledger_.expired_with_word(word)) {
        return fmt::format("“{}”: the fact {} is valid only {}", token.raw, fact->fact->id, validity(*fact->fact));
      }
      return fmt::format("“{}” is in no fact", token.raw);
    }
    static constexpr std::string_view kPlainSymbols = "-:'\"&/“”‘’–";
    if (token.type == ScanType::symbol && kPlainSymbols.find(token.raw) != std::string_view::npos) return {};
    if (token.type == ScanType::comma || token.type == ScanType::stop) return {};
    return ledger_.quotes_code(token.text) ? std::string() : fmt::format("“{}” is in no fact", token.raw);
  }

  // The valid fact that shares most words with a plain part; none when it states nothing.
  std::string best_fact(const std::set<std::string>& said) const {
    std::string best;
    size_t most = 0;
    for (const AttestedFact& fact : ledger_.facts()) {
      if (!fact.valid || fact.negative) continue;
      size_t shared = 0;
      for (const std::string& word : said) {
        const bool inviting = is_invitation_word(word) || ledger_.names_product(word);
        shared += !inviting && (fact.name_words.contains(word) || fact.value_words.contains(word)) ? 1 : 0;
      }
      if (shared > most) most = shared, best = fact.fact->id;
    }
    return best;
  }

  const FactLedger& ledger_;
  const Tokens& tokens_;
  std::string_view text_;
  size_t begin_, end_;
  std::set<std::string> words_;
  std::vector<Item> items_;
};

bool is_break(const Tokens& tokens, size_t at) {
  return at == tokens.size() || tokens[at].type == ScanType::stop || tokens[at].type == ScanType::comma;
}

// "16 GB memory and no fan": a denial to the clause's end is a clause of its own, so that it denies nothing before it.
// Behind another denial "with" would turn it round: "no laptop with no fan".
bool begins_denial(const Tokens& tokens, size_t begin, size_t at) {
  const auto is = [&](size_t i, std::string_view word) { return i < tokens.size() && tokens[i].text == word; };
  const auto is_joined_denial = [&](size_t i) { return is(i, "and") && (is(i + 1, "no") || is(i + 1, "without")); };
  const bool with_no = is(at, "with") && is(at + 1, "no");
  if (!with_no && !is_joined_denial(at)) return false;
  const auto denies = [](const ScanToken& token) { return is_negation_word(token.text) || token.text == "free"; };
  const auto first = tokens.begin() + static_cast<ptrdiff_t>(begin);
  if (with_no && std::any_of(first, tokens.begin() + static_cast<ptrdiff_t>(at), denies)) return false;
  size_t word = at + 2;
  if (is(word, "a") || is(word, "an") || is(word, "any") || is(word, "the")) ++word;
  size_t end = word;
  while (end < tokens.size() && tokens[end].type == ScanType::word && !is_structural_word(tokens[end].text)) ++end;
  return end > word && (is_break(tokens, end) || is_joined_denial(end));
}

bool inside_mention(const Mentions& mentions, size_t at) {
  const auto holds = [at](const auto& mention) { return at >= mention.first && at <= mention.last; };
  return std::any_of(mentions.quantities.begin(), mentions.quantities.end(), holds) ||
         std::any_of(mentions.dates.begin(), mentions.dates.end(), holds);
}

}  // namespace

std::vector<Claim> verify_claims(const FactLedger& ledger, std::string_view headline, std::string_view body) {
  const std::string text = std::string(headline) + "\n" + std::string(body);
  const Tokens tokens = scan_text(text);
  const Mentions mentions = find_mentions(tokens, text, ledger.brief().currency);
  std::vector<Claim> claims;
  for (size_t begin = 0; begin < tokens.size();) {
    const auto ends_clause = [&](size_t at) {
      return (is_break(tokens, at) || (at > begin && begins_denial(tokens, begin, at))) &&
             !inside_mention(mentions, at);
    };
    if (ends_clause(begin)) {
      ++begin;
      continue;
    }
    size_t end = begin + 1;
    while (!ends_clause(end)) ++end;
    const std::vector<Claim> found = Clause(ledger, tokens, text, mentions, begin, end).claims();
    claims.insert(claims.end(), found.begin(), found.end());
    begin = end;
  }
  return claims;
}

}  // namespace starling
