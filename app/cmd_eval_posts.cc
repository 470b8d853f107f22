#include <fmt/format.h>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "posts/filter_scores.h"
#include "posts/ingest.h"

namespace starling {
namespace {

using OrderedJson = nlohmann::ordered_json;

struct EvalPostsArguments {
  std::filesystem::path spam, automation, languages, personal_data;
  std::string spam_field = "label", spam_label = "spam", automation_field = "label", language_field = "lang", text;
};

OrderedJson detection_json(const Detection& d) {
  return {{"labelled", d.labelled},
          {"found", d.found},
          {"wrong", d.wrong},
          {"precision", d.precision()},
          {"recall", d.recall()}};
}

OrderedJson answers_json(const LanguageAnswers& a) {
  return {{"texts", a.texts}, {"answered", a.answered}, {"right", a.right}};
}

void print_detection(const std::string& name, const Detection& d) {
  fmt::print("{:<12}{:>10}{:>10}{:>10}{:>11.3f}{:>9.3f}\n", name, d.labelled, d.found, d.wrong, d.precision(),
             d.recall());
}

void print_answers(const std::string& name, const LanguageAnswers& a) {
  const auto share = [](uint64_t part, uint64_t whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  fmt::print("{:<16}{:>10}{:>12.1f} %{:>14.1f} %\n", name, a.texts, share(a.answered, a.texts),
             share(a.right, a.answered));
}

void print_detection_header(const char* what) {
  fmt::print("{:<12}{:>10}{:>10}{:>10}{:>11}{:>9}\n", what, "labelled", "found", "wrong", "precision", "recall");
}

void eval_spam(const EvalPostsArguments& arguments, const GlobalOptions& options, OrderedJson& json) {
  const auto texts = read_labelled(arguments.spam, arguments.spam_field, arguments.text);
  const double threshold = options.config().number("prepare.spam_score");
  const Detection score = score_spam(texts, arguments.spam_label, threshold);
  if (score.labelled == 0)
    throw DataError(fmt::format("{}: no row has {} \"{}\"; check --spam-field and --spam-label",
                                arguments.spam.string(), arguments.spam_field, arguments.spam_label));
  json["spam"] = detection_json(score);
  json["spam"]["texts"] = texts.size();
  if (options.json) return;
  print_detection_header("spam");
  print_detection(fmt::format("{} texts", texts.size()), score);
}

void eval_automation(const EvalPostsArguments& arguments, const GlobalOptions& options, OrderedJson& json) {
  const Config config = options.config();
  const auto most = config.count("prepare.max_template_posts");
  const auto texts = read_labelled(arguments.automation, arguments.automation_field, arguments.text);
  const auto counts = count_automation(texts, config.number("prepare.spam_score"), most);
  if (!options.json)
    fmt::print("{:<20}{:>10}{:>10}{:>11}{:>10}\n", "automation", "texts", "spam", "templates", "of feeds");
  for (const auto& [label, count] : counts) {
    json["automation"][label] = {
        {"texts", count.texts}, {"spam", count.spam}, {"templates", count.templates}, {"feeds", count.feeds}};
    if (!options.json)
      fmt::print("{:<20}{:>10}{:>10}{:>11}{:>10}\n", label.empty() ? "(no label)" : label, count.texts, count.spam,
                 count.templates, count.feeds);
  }
}

std::string letters_name(size_t first) {
  for (const size_t next : kLetterGroups)
    if (next > first) return fmt::format("{} to {} letters", first, next - 1);
  return fmt::format("{} and more", first);
}

void eval_languages(const EvalPostsArguments& arguments, const GlobalOptions& options, OrderedJson& json) {
  const LanguageScores scores =
      score_languages(read_labelled(arguments.languages, arguments.language_field, arguments.text));
  OrderedJson& object = json["language"] = answers_json(scores.all);
  for (const auto& [first, answers] : scores.by_letters)
    object["by_letters"][letters_name(first)] = answers_json(answers);
  for (const auto& [language, answers] : scores.by_language) object["by_language"][language] = answers_json(answers);
  if (options.json) return;
  fmt::print("{:<16}{:>10}{:>14}{:>16}\n", "language", "texts", "answered", "of these right");
  for (const auto& [first, answers] : scores.by_letters) print_answers(letters_name(first), answers);
  print_answers("all", scores.all);
}

void eval_personal_data(const EvalPostsArguments& arguments, const GlobalOptions& options, OrderedJson& json) {
  std::vector<MarkedText> texts;
  for (const LabelledText& row : read_labelled(arguments.personal_data, "label", arguments.text))
    texts.push_back(parse_marked(row.text));
  const auto scores = score_personal_data(texts);
  Detection all;
  if (!options.json) print_detection_header("personal data");
  for (size_t kind = 0; kind < kPersonalDataKinds; ++kind) {
    json["personal_data"][kPersonalDataMarks[kind]] = detection_json(scores[kind]);
    all.labelled += scores[kind].labelled;
    all.found += scores[kind].found;
    all.wrong += scores[kind].wrong;
    if (!options.json) print_detection(kPersonalDataMarks[kind], scores[kind]);
  }
  json["personal_data"]["all"] = detection_json(all);
  if (!options.json) print_detection("all", all);
}

void eval_posts(const EvalPostsArguments& arguments, const GlobalOptions& options) {
  OrderedJson json;
  if (!arguments.spam.empty()) eval_spam(arguments, options, json);
  if (!arguments.automation.empty()) eval_automation(arguments, options, json);
  if (!arguments.languages.empty()) eval_languages(arguments, options, json);
  if (!arguments.personal_data.empty()) eval_personal_data(arguments, options, json);
  if (json.empty()) throw ConfigError("name a labelled file: --spam, --automation, --languages or --personal-data");
  if (options.json) fmt::print("{}\n", dump_json_lossy(json, 2));
}

}  // namespace

void add_eval_posts(Command eval, const GlobalOptions& options) {
  Command command = eval.add_subcommand(
      "posts", "Precision and recall of prepare's filters on labelled texts: spam, language, personal data");
  auto arguments = std::make_shared<EvalPostsArguments>();
  command.add_option("--spam", arguments->spam, "Texts with a label; any format that ingest reads");
  command.add_option("--spam-field", arguments->spam_field, "Column of that label").show_default();
  command.add_option("--spam-label", arguments->spam_label, "Its value for spam").show_default();
  command.add_option(
      "--automation", arguments->automation,
      "Texts with author and a label: how many are dropped as spam or as an author's template, how many are of feeds");
  command.add_option("--automation-field", arguments->automation_field, "Column of that label").show_default();
  command.add_option("--languages", arguments->languages, "Texts with the ISO 639 code of their language");
  command.add_option("--language-field", arguments->language_field, "Column of that code").show_default();
  command.add_option("--personal-data", arguments->personal_data,
                     "Texts with personal data in marks: write to [[EMAIL:bob@example.org]]");
  command.add_option("--text", arguments->text, "Column of the text (text), or title+text");
  command.footer(
      "Examples:\n"
      "  starling eval posts --spam sms-spam.jsonl.zst\n"
      "  starling eval posts --automation ira-tweets.jsonl.zst --automation-field cat\n"
      "  starling eval posts --languages langid.jsonl.zst --json\n"
      "  starling eval posts --personal-data test/data/personal-data.jsonl");
  command.callback([arguments, &options] { eval_posts(*arguments, options); });
}

}  // namespace starling
