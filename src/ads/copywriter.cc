#include "ads/copywriter.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <vector>

#include "ads/fact_ledger.h"
#include "ads/text_scan.h"
#include "infer/engine.h"

namespace starling {
namespace {

constexpr int kMaxTokens = 64;
constexpr size_t kMostFacts = 2;

std::string sentence_of(const Fact& fact) {
  if (fact.value == "true") return fact.name;
  if (fact.value == "false") return "no " + fact.name;
  return fmt::format("{}: {}{}{}", fact.name, fact.value, fact.unit.empty() ? "" : " ", fact.unit);
}

// A few facts, others at every attempt, so that the variants differ.
std::vector<std::string> some_facts(const Brief& brief, int64_t now_s, uint64_t attempt) {
  std::vector<std::string> valid;
  for (const Fact& fact : brief.facts) {
    if (fact.valid_at(now_s)) valid.push_back(sentence_of(fact));
  }
  if (valid.empty()) return valid;
  // Steps of two, and one more after each round, so that other pairs come together.
  const size_t first = (2 * attempt + 2 * attempt / valid.size()) % valid.size();
  std::rotate(valid.begin(), valid.begin() + static_cast<ptrdiff_t>(first), valid.end());
  valid.resize(std::min(valid.size(), kMostFacts));
  return valid;
}

std::string task_of(const std::string& product, const std::vector<std::string>& facts) {
  return fmt::format("Product: {}\nFacts: {}.\nWrite a headline and one sentence.", product, fmt::join(facts, "; "));
}

// Two ads for other products come first: a small model follows an example better than an instruction.
std::vector<ChatMessage> chat_messages(const Brief& brief, const std::vector<std::string>& facts) {
  std::string system = "You write short, plain ads. You use the facts word for word and add nothing to them.";
  if (!brief.tone.empty()) system += fmt::format(" Tone: {}.", brief.tone);
  return {{"system", system},
          {"user", task_of("Alder desk lamp", {"brightness: 800 lumens", "warranty: 2 years"})},
          {"assistant",
           "Meet the Alder desk lamp\nThe Alder desk lamp has a brightness of 800 lumens and a warranty of 2 years."},
          {"user", task_of("Fjord tent", {"weight: 1.9 kg", "no plastic poles"})},
          {"assistant",
           "Discover the Fjord tent\nThe Fjord tent comes with a weight of 1.9 kg, and with no plastic poles."},
          {"user", task_of(brief.product, facts)}};
}

// A model without a chat template continues text, so it gets an ad to go on with.
std::string plain_prompt(const Brief& brief, const std::vector<std::string>& facts) {
  std::string prompt = fmt::format("{}\n\n", brief.product);
  for (const std::string& fact : facts) prompt += "* " + fact + "\n";
  return prompt + fmt::format("\nThe {}", brief.product);
}

std::string trim(std::string text) {
  static const RE2 edges(R"(^[\s"“”*#_\-–—>]+|[\s"“”*#_>]+$)");
  RE2::GlobalReplace(&text, edges, "");
  static const RE2 label(
      R"((?i)^(headline|title|first line|second line|text|body|ad|advertisement|sentence|subject|copy|line \d)\s*\d*\s*[:.\-]\s*)");
  RE2::Replace(&text, label, "");
  RE2::GlobalReplace(&text, edges, "");
  return text;
}

// A text that the token limit cut ends at its last whole sentence.
std::string whole_sentences(const std::string& text) {
  const size_t end = text.find_last_of(".!?");
  return end == std::string::npos ? text : text.substr(0, end + 1);
}

}  // namespace

Draft split_copy(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream stream{std::string(text)};
  for (std::string line; std::getline(stream, line);) {
    line = trim(line);
    if (!line.empty()) lines.push_back(line);
  }
  Draft draft;
  if (lines.empty()) return draft;
  draft.headline = lines[0];
  for (size_t i = 1; i < lines.size(); ++i) draft.body += (draft.body.empty() ? "" : " ") + lines[i];
  if (lines.size() == 1) {  // one line: its first sentence is the headline
    const size_t end = lines[0].find_first_of(".!?:");
    draft.headline = trim(lines[0].substr(0, end));
    if (end != std::string::npos) draft.body = trim(lines[0].substr(end + 1));
  }
  draft.body = whole_sentences(draft.body);
  while (!draft.headline.empty() && (draft.headline.back() == '.' || draft.headline.back() == ':'))
    draft.headline.pop_back();
  return draft;
}

Draft Copywriter::draft(const AdAudience&, int64_t now_s) {
  const uint64_t attempt = attempts_++;
  const std::vector<std::string> facts = some_facts(brief_, now_s, attempt);
  // Cooler first: the most likely words repeat the facts, hotter ones bring other wordings.
  const SamplingOptions sampling{.max_tokens = kMaxTokens,
                                 .temperature = 0.3f + 0.15f * static_cast<float>(attempt % 4),
                                 .top_k = 40,
                                 .top_p = 0.95f,
                                 .seed = seed_ + attempt,
                                 .stop = {"\n\n", "Product:", "Facts:"}};
  if (engine_.has_chat_template()) return split_copy(engine_.chat(chat_messages(brief_, facts), sampling).text);
  const std::string text = engine_.complete(plain_prompt(brief_, facts), sampling).text;
  return {brief_.product, whole_sentences("The " + brief_.product + text.substr(0, text.find('\n')))};
}

double Copywriter::fluency(const Draft& draft) {
  const std::string text = draft.headline + ". " + draft.body;
  const double nats = engine_.log_likelihood(fmt::format("An ad for the {}:\n", brief_.product), text);
  return nats / static_cast<double>(std::max<size_t>(text.size(), 1));
}

}  // namespace starling
