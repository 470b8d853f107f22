// How well the filters of prepare agree with people's labels: spam, language, personal data.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "posts/feed.h"
#include "posts/personal_data.h"

namespace starling {

struct LabelledText {
  std::string label, text, author;
  PostManner manner;
};

// Rows with a text and a label of any file that ingest reads. `text_map`: as for `--map text=...`; empty for "text".
// Throws IoError; DataError naming the first row that cannot be read, and when there is no row.
std::vector<LabelledText> read_labelled(const std::filesystem::path& file, const std::string& label_field,
                                        const std::string& text_map = {});

struct Detection {
  uint64_t labelled = 0;     // that should be found
  uint64_t found = 0;        // of these
  uint64_t wrong = 0;        // found, but not labelled
  double precision() const;  // found / (found + wrong); 1 when nothing was found
  double recall() const;     // found / labelled; 1 when nothing is labelled
};

// Texts whose spam score reaches `threshold` against those labelled `spam_label`.
Detection score_spam(std::span<const LabelledText> texts, const std::string& spam_label, double threshold);

// Of the texts with one label: how many prepare drops as spam, of the rest how many as more than `most` of one author's
// from one template; and how many are of accounts that it takes for feeds.
struct AutomationCounts {
  uint64_t texts = 0, spam = 0, templates = 0, feeds = 0;
};
std::map<std::string, AutomationCounts> count_automation(std::span<const LabelledText> texts, double spam_threshold,
                                                         uint64_t most);

struct LanguageAnswers {
  uint64_t texts = 0, answered = 0, right = 0;  // answered: not "und"
};
struct LanguageScores {
  LanguageAnswers all;
  std::map<size_t, LanguageAnswers> by_letters;  // key: the fewest letters of the group, see kLetterGroups
  std::map<std::string, LanguageAnswers> by_language;
};
inline constexpr std::array<size_t, 8> kLetterGroups = {0, 5, 10, 15, 20, 30, 40, 80};

// Labels are ISO 639 codes; "nb" counts as "no", which is what CLD2 calls it.
LanguageScores score_languages(std::span<const LabelledText> texts);

// A text that says itself what is personal data: "write to [[EMAIL:bob@example.org]]". Kinds are the marks' names.
struct MarkedText {
  struct Span {
    PersonalData kind;
    size_t begin, end;  // bytes of `text`
  };
  std::string text;
  std::vector<Span> spans;
};
MarkedText parse_marked(std::string_view marked);  // throws DataError for an unknown kind or a mark that is not closed

// Found: a replacement of the same kind that overlaps the labelled place. Each of both counts once.
std::array<Detection, kPersonalDataKinds> score_personal_data(std::span<const MarkedText> texts);

}  // namespace starling
