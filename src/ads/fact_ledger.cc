#include "ads/fact_ledger.h"

#include <algorithm>

#include "ads/lexicon.h"
#include "ads/text_scan.h"
#include "ads/units.h"

namespace starling {
namespace {

void collect_codes(std::string_view text, std::set<std::string>& codes) {
  for (const ScanToken& token : scan_text(text)) {
    if (token.type == ScanType::code || token.type == ScanType::symbol) codes.insert(token.text);
  }
}

bool states_absence(const Fact& fact) {
  const std::string value = fold_text(fact.value);
  if (value == "false" || value == "none" || value == "no" || value == "0") return true;
  const std::vector<ScanToken> tokens = scan_text(fact.value);
  return std::any_of(tokens.begin(), tokens.end(), [](const ScanToken& token) { return is_negation_word(token.text); });
}

// "month" of "12 USD/month" or of the name "price per month".
std::string rate_of(const AttestedFact& attested) {
  if (!attested.quantities.empty() && !attested.quantities[0].rate.empty()) return attested.quantities[0].rate;
  const std::vector<ScanToken> tokens = scan_text(attested.fact->name);
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    if (tokens[i].text == "per") return singular(tokens[i + 1].text);
  }
  for (const ScanToken& token : tokens) {
    if (const auto period = find_period_adverb(token.text)) return *period;
  }
  return {};
}

AttestedFact attest(const Fact& fact, const Brief& brief, int64_t time_s) {
  AttestedFact attested{.fact = &fact, .valid = fact.valid_at(time_s), .negative = states_absence(fact)};
  const std::string text = fact.unit.empty() ? fact.value : fact.value + " " + fact.unit;
  const std::vector<ScanToken> tokens = scan_text(text);
  Mentions mentions = find_mentions(tokens, text, brief.currency);
  attested.quantities = std::move(mentions.quantities);
  attested.dates = std::move(mentions.dates);
  const std::vector<ScanToken> name = scan_text(fact.name);
  for (DateMention& date : attested.dates)  // "ships from" = 2026-12-24
    if (date.bound.empty() && !name.empty() && is_time_bound_word(name.back().text)) date.bound = name.back().text;
  attested.name_words = statement_words(fact.name);
  if (fact.value != "true" && fact.value != "false") attested.value_words = statement_words(text);
  for (const ScanToken& token : tokens) {
    if (token.type == ScanType::number || token.type == ScanType::code) attested.value_numbers.insert(token.text);
  }
  attested.rate = rate_of(attested);
  return attested;
}

bool has(const std::set<std::string>& words, const std::string& word) { return words.contains(word); }

}  // namespace

std::set<std::string> statement_words(std::string_view text) {
  std::set<std::string> words;
  for (const ScanToken& token : scan_text(text)) {
    if (token.type == ScanType::word && !is_structural_word(token.text) && !is_negation_word(token.text))
      words.insert(singular(token.text));
  }
  return words;
}

FactLedger::FactLedger(const Brief& brief, int64_t time_s) : brief_(brief) {
  product_words_ = statement_words(brief.product + "\n" + brief.advertiser);
  collect_codes(brief.product + "\n" + brief.advertiser, codes_);
  for (const Fact& fact : brief.facts) {
    facts_.push_back(attest(fact, brief, time_s));
    const AttestedFact& attested = facts_.back();
    if (!attested.valid) continue;
    collect_codes(fact.value + "\n" + fact.unit, codes_);
    if (attested.negative) continue;
    positive_words_.insert(attested.name_words.begin(), attested.name_words.end());
    positive_words_.insert(attested.value_words.begin(), attested.value_words.end());
  }
}

bool FactLedger::names_product(const std::string& word) const { return has(product_words_, word); }
bool FactLedger::allows_word(const std::string& word) const {
  return has(positive_words_, word) || has(product_words_, word);
}
bool FactLedger::quotes_code(const std::string& folded) const { return has(codes_, folded); }

const AttestedFact* FactLedger::expired_with_word(const std::string& word) const {
  for (const AttestedFact& fact : facts_) {
    if (!fact.valid && (has(fact.name_words, word) || has(fact.value_words, word))) return &fact;
  }
  return nullptr;
}

const AttestedFact* FactLedger::negative_with_word(const std::string& word) const {
  for (const AttestedFact& fact : facts_) {
    if (fact.valid && fact.negative && (has(fact.name_words, word) || has(fact.value_words, word))) return &fact;
  }
  return nullptr;
}

}  // namespace starling
