// The facts of a brief as the verifier needs them at one moment: their quantities and dates, the words they allow, and
// the words they allow only in a negation ("sugar" of the fact sugar = false).
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ads/brief.h"
#include "ads/quantity.h"

namespace starling {

struct AttestedFact {
  const Fact* fact = nullptr;
  bool valid = false;     // at the ledger's moment
  bool negative = false;  // attests an absence
  std::vector<Quantity> quantities;
  std::vector<DateMention> dates;
  std::set<std::string> name_words;     // content words, singular
  std::set<std::string> value_words;    // content words of value and unit
  std::set<std::string> value_numbers;  // digits as written, for quoting in full
  std::string rate;                     // "month", from the unit or the name
};

class FactLedger {
 public:
  FactLedger(const Brief& brief, int64_t time_s);  // the brief must outlive it

  const Brief& brief() const { return brief_; }
  const std::vector<AttestedFact>& facts() const { return facts_; }
  bool allows_word(
      const std::string& singular_word) const;  // product, advertiser, or a valid fact that attests a presence
  bool names_product(const std::string& singular_word) const;  // product or advertiser
  const AttestedFact* expired_with_word(const std::string& singular_word) const;
  const AttestedFact* negative_with_word(const std::string& singular_word) const;  // valid ones only
  bool quotes_code(
      const std::string& folded) const;  // "i7", "ddr5", "9:30" as some valid fact or the product writes it

 private:
  const Brief& brief_;
  std::vector<AttestedFact> facts_;
  std::set<std::string> product_words_, positive_words_, codes_;
};

// Words that carry a statement: no function words and no bound's words; in the singular.
std::set<std::string> statement_words(std::string_view text);

}  // namespace starling
