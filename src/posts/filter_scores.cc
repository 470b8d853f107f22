#include "posts/filter_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "posts/characters.h"
#include "posts/dedup.h"
#include "posts/language.h"
#include "posts/row_reader.h"
#include "posts/spam.h"
#include "posts/text_clean.h"

namespace starling {
namespace {

using Span = MarkedText::Span;

size_t letter_group(std::string_view text) {
  size_t letters = 0;
  for (size_t position = 0; position < text.size();) letters += is_letter(next_character(text, position)) ? 1 : 0;
  return *std::prev(std::upper_bound(kLetterGroups.begin(), kLetterGroups.end(), letters));
}

std::optional<PersonalData> kind_at(std::string_view text) {
  for (size_t kind = 0; kind < kPersonalDataKinds; ++kind)
    if (text.starts_with(kPersonalDataMarks[kind])) return static_cast<PersonalData>(kind);
  return {};
}

// The places of `text` that became marks in `replaced`. What stands between two marks is looked for from the end of the
// first on, so a place may come out shorter than it is; it never reaches into another one.
std::vector<Span> replaced_spans(std::string_view text, std::string_view replaced) {
  std::vector<Span> spans;
  size_t at = 0;  // in text
  for (size_t position = 0; position < replaced.size();) {
    const std::optional<PersonalData> kind = kind_at(replaced.substr(position));
    if (!kind || text.substr(at).starts_with(kPersonalDataMarks[static_cast<size_t>(*kind)])) {
      ++position;
      ++at;
      continue;
    }
    position += std::string_view(kPersonalDataMarks[static_cast<size_t>(*kind)]).size();
    size_t next = position;
    while (next < replaced.size() && !kind_at(replaced.substr(next))) ++next;
    const std::string_view between = replaced.substr(position, next - position);
    const size_t end = next == replaced.size() ? text.size() - between.size() : text.find(between, at + 1);
    spans.push_back({*kind, at, end});
    at = end;
  }
  return spans;
}

bool overlap(const Span& a, const Span& b) { return a.kind == b.kind && a.begin < b.end && b.begin < a.end; }

void count_spans(const MarkedText& marked, std::array<Detection, kPersonalDataKinds>& scores) {
  std::vector<Span> replaced = replaced_spans(marked.text, replace_personal_data(marked.text));
  for (const Span& labelled : marked.spans) {
    Detection& score = scores[static_cast<size_t>(labelled.kind)];
    ++score.labelled;
    const auto hit = std::find_if(replaced.begin(), replaced.end(),
                                  [&](const Span& candidate) { return overlap(candidate, labelled); });
    if (hit == replaced.end()) continue;
    ++score.found;
    replaced.erase(hit);
  }
  for (const Span& span : replaced) ++scores[static_cast<size_t>(span.kind)].wrong;
}

}  // namespace

double Detection::precision() const {
  return found + wrong == 0 ? 1 : static_cast<double>(found) / static_cast<double>(found + wrong);
}

double Detection::recall() const {
  return labelled == 0 ? 1 : static_cast<double>(found) / static_cast<double>(labelled);
}

std::vector<LabelledText> read_labelled(const std::filesystem::path& file, const std::string& label_field,
                                        const std::string& text_map) {
  RowOptions options;
  options.map = FieldMap({"community=" + label_field, "text=" + (text_map.empty() ? "text" : text_map)});
  options.derive_ids = true;
  std::vector<LabelledText> texts;
  const auto reader = RowReader::open(file, options);
  for (Row row; reader->next(row);) {
    if (!row.problem.empty()) throw DataError(fmt::format("{}:{}: {}", file.string(), row.line, row.problem));
    const PostManner manner = manner_of(row.post);
    texts.push_back({std::move(row.post.community), std::move(row.post.text), std::move(row.post.author), manner});
  }
  if (texts.empty()) throw DataError(file.string() + ": no labelled texts");
  return texts;
}

Detection score_spam(std::span<const LabelledText> texts, const std::string& spam_label, double threshold) {
  Detection score;
  for (const LabelledText& text : texts) {
    const bool labelled = text.label == spam_label, said = is_spam(clean_text(text.text), threshold);
    score.labelled += labelled ? 1 : 0;
    score.found += labelled && said ? 1 : 0;
    score.wrong += !labelled && said ? 1 : 0;
  }
  return score;
}

std::map<std::string, AutomationCounts> count_automation(std::span<const LabelledText> texts, double spam_threshold,
                                                         uint64_t most) {
  std::map<std::string, AutomationCounts> counts;
  std::map<std::pair<std::string, uint64_t>, uint64_t> of_template;
  std::map<std::string, MannerCounts> of_author;
  for (const LabelledText& text : texts)
    if (!text.author.empty()) of_author[text.author].add(text.manner);
  for (const LabelledText& text : texts) {
    const std::string cleaned = clean_text(text.text);
    AutomationCounts& count = counts[text.label];
    ++count.texts;
    if (of_author[text.author].is_feed()) ++count.feeds;
    if (is_spam(cleaned, spam_threshold)) {
      ++count.spam;
      continue;
    }
    const uint64_t hash = template_hash(normalize_for_duplicates(cleaned));
    const bool counts_templates = most > 0 && hash != 0 && !text.author.empty();
    if (counts_templates && ++of_template[{text.author, hash}] > most) ++count.templates;
  }
  return counts;
}

LanguageScores score_languages(std::span<const LabelledText> texts) {
  LanguageScores scores;
  for (const auto& [label, text, author, manner] : texts) {
    const std::string answer = detect_language(text);
    for (LanguageAnswers* answers : {&scores.all, &scores.by_letters[letter_group(text)], &scores.by_language[label]}) {
      ++answers->texts;
      answers->answered += answer != "und" ? 1 : 0;
      answers->right += answer == label || (answer == "no" && label == "nb") ? 1 : 0;
    }
  }
  return scores;
}

MarkedText parse_marked(std::string_view marked) {
  MarkedText result;
  for (size_t position = 0; position < marked.size();) {
    if (!marked.substr(position).starts_with("[[")) {
      result.text += marked[position++];
      continue;
    }
    const size_t colon = marked.find(':', position), close = marked.find("]]", position);
    if (colon == std::string_view::npos || close == std::string_view::npos || colon > close)
      throw DataError(fmt::format("\"{}\": write [[KIND:text]] for personal data", marked));
    const std::string name = fmt::format("[{}]", marked.substr(position + 2, colon - position - 2));
    const std::optional<PersonalData> kind = kind_at(name);
    if (!kind) throw DataError(fmt::format("\"{}\": {} is no kind of personal data", marked, name));
    const size_t begin = result.text.size();
    result.text += marked.substr(colon + 1, close - colon - 1);
    result.spans.push_back({*kind, begin, result.text.size()});
    position = close + 2;
  }
  return result;
}

std::array<Detection, kPersonalDataKinds> score_personal_data(std::span<const MarkedText> texts) {
  std::array<Detection, kPersonalDataKinds> scores;
  for (const MarkedText& text : texts) count_spans(text, scores);
  return scores;
}

}  // namespace starling
