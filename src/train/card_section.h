// A section of a model card that is measured after training.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace starling {

// `card` (Markdown) with the section "## heading" replaced, or added: before "## Intended use" when the card has that,
// else at the end.
std::string with_section(std::string_view card, std::string_view heading, std::string_view body);

// The same in models/<name>/README.md and runs/<name>/card.md, where they are. Returns how many were written.
int write_card_section(const std::filesystem::path& model_folder, const std::filesystem::path& run_folder,
                       std::string_view heading, std::string_view body);

}  // namespace starling
