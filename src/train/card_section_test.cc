#include "train/card_section.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/hash.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

TEST(CardSection, GoesBeforeTheIntendedUseAndIsReplacedNextTime) {
  const std::string card = "# own\n\n## Data\n\nposts\n\n## Intended use\n\nsearch\n";
  const std::string once = with_section(card, "Memorisation", "none");
  EXPECT_EQ(once, "# own\n\n## Data\n\nposts\n\n## Memorisation\n\nnone\n\n## Intended use\n\nsearch\n");
  EXPECT_EQ(with_section(once, "Memorisation", "none"), once);
  EXPECT_EQ(with_section(once, "Memorisation", "3 of 8"),
            "# own\n\n## Data\n\nposts\n\n## Memorisation\n\n3 of 8\n\n## Intended use\n\nsearch\n");
  EXPECT_EQ(with_section("# own\n", "Memorisation", "none"), "# own\n\n## Memorisation\n\nnone\n");
  EXPECT_EQ(with_section("", "Memorisation", "none"), "## Memorisation\n\nnone\n");
  EXPECT_EQ(with_section("# own\n\n## Memorisation", "Memorisation", "none"), "# own\n\n## Memorisation\n\nnone\n");
}

TEST(CardSection, IsWrittenToTheCardsThatAreThere) {
  const fs::path folder = fs::temp_directory_path() / ("starling-card-" + random_hex(8));
  fs::create_directories(folder);
  EXPECT_EQ(write_card_section(folder, folder, "A", "b"), 0);
  write_file_atomic(folder / "README.md", "# own\n");
  EXPECT_EQ(write_card_section(folder, folder / "none", "A", "b"), 1);
  EXPECT_EQ(read_file(folder / "README.md"), "# own\n\n## A\n\nb\n");
  fs::remove_all(folder);
}

}  // namespace
}  // namespace starling
