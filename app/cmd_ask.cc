#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "app/command.h"
#include "app/search_session.h"
#include "core/error.h"
#include "core/json.h"

namespace starling {
namespace {

constexpr const char* kNoAnswer = "no answer in the posts";

// --writer, else server.writer where it is installed, else none: then the posts' own sentences answer.
std::unique_ptr<Engine> load_writer(const SearchSession& session, const std::string& wanted) {
  if (wanted == "none") return nullptr;
  const std::string name = wanted.empty() ? session.config().text("server.writer") : wanted;
  const bool installed = !name.empty() && std::filesystem::exists(session.workspace().model(name) / "config.json");
  if (installed) return Engine::load(session.workspace().model(name));
  if (!wanted.empty())
    throw ConfigError(fmt::format("models/{}: no such model; run `starling import`, or ask with --writer none", name));
  return nullptr;
}

void print_text(const AskAnswer& answer) {
  if (!answer.answered) return fmt::print("{}\n", kNoAnswer);
  for (const AskSentence& sentence : answer.sentences)
    fmt::print("{}  [{}]\n", sentence.text, fmt::join(sentence.post_ids, ", "));
  fmt::print("\n");
  for (const SearchHit& hit : answer.sources)
    fmt::print("[{}] {}: {}\n", hit.post.id, hit.post.author, one_line(hit.post.text, 200));
}

void print_json(const AskAnswer& answer) {
  nlohmann::ordered_json json = {
      {"answered", answer.answered}, {"sentences", nlohmann::json::array()}, {"sources", nlohmann::json::array()}};
  for (const AskSentence& sentence : answer.sentences)
    json["sentences"].push_back({{"text", sentence.text}, {"post_ids", sentence.post_ids}});
  for (const SearchHit& hit : answer.sources) json["sources"].push_back(hit_json(hit));
  json["message"] = answer.answered ? "" : kNoAnswer;
  fmt::print("{}\n", dump_json_lossy(json, 2));
}

}  // namespace

void add_ask(Command root, const GlobalOptions& options) {
  Command command =
      root.add_subcommand("ask", "Answer a question from the posts, each sentence with the posts that support it");
  auto question = std::make_shared<std::string>(), writer = std::make_shared<std::string>();
  command.add_option("question", *question, "The question").required();
  command.add_option(
      "--writer", *writer,
      "Chat model that words the answer; none: the posts' own sentences (default: server.writer if installed)");
  command.footer(
      "Examples:\n  starling ask 'Which mailer replaces exmh?'\n  starling ask 'When is the meeting?' --writer none "
      "--json");
  command.callback([question, writer, &options] {
    SearchSession session(options);
    const std::unique_ptr<Engine> engine = load_writer(session, *writer);
    const AskAnswer answer = session.service().ask(*question, engine.get());
    options.json ? print_json(answer) : print_text(answer);
  });
}

}  // namespace starling
