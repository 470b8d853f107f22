#include "train/card_section.h"

#include <fmt/format.h>

#include "core/file.h"

namespace starling {
namespace {

// Where a line begins with `start`; the end of the card when none does.
size_t find_line(std::string_view card, std::string_view start, size_t from) {
  for (size_t at = from; at < card.size();) {
    if (card.substr(at).starts_with(start)) return at;
    const size_t newline = card.find('\n', at);
    at = newline == std::string_view::npos ? card.size() : newline + 1;
  }
  return card.size();
}

}  // namespace

std::string with_section(std::string_view text, std::string_view heading, std::string_view body) {
  std::string card(text);
  if (!card.empty() && !card.ends_with('\n')) card += '\n';  // or a heading at its end would not be found
  const std::string title = fmt::format("## {}\n", heading);
  size_t begin = find_line(card, title, 0), end = begin;
  if (begin < card.size()) end = find_line(card, "## ", begin + title.size());
  else begin = end = find_line(card, "## Intended use\n", 0);
  std::string before = card.substr(0, begin);
  while (before.ends_with('\n')) before.pop_back();
  const std::string after = card.substr(end);
  return fmt::format("{}{}{}\n{}\n{}{}", before, before.empty() ? "" : "\n\n", title, body, after.empty() ? "" : "\n",
                     after);
}

int write_card_section(const std::filesystem::path& model_folder, const std::filesystem::path& run_folder,
                       std::string_view heading, std::string_view body) {
  int written = 0;
  for (const std::filesystem::path& card : {model_folder / "README.md", run_folder / "card.md"}) {
    if (!std::filesystem::exists(card)) continue;
    write_file_atomic(card, with_section(read_file(card), heading, body));
    ++written;
  }
  return written;
}

}  // namespace starling
