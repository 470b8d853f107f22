// A folder may include only folders below it. This is what keeps the parts separable.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>

namespace {

namespace fs = std::filesystem;

// Higher may include lower; equals may not include each other except where the number differs.
const std::map<std::string, int> kLayer = {{"app", 100},    {"server", 90}, {"ads", 80},   {"search", 70},
                                           {"cluster", 60}, {"infer", 60},  {"train", 50}, {"model", 40},
                                           {"ops", 31},     {"comm", 31},   {"posts", 22}, {"tokenizer", 21},
                                           {"tensor", 20},  {"store", 20},  {"core", 10}};

std::optional<std::string> included_folder(const std::string& line) {
  const std::string prefix = "#include \"";
  if (line.rfind(prefix, 0) != 0) return std::nullopt;
  const std::string path = line.substr(prefix.size());
  const size_t slash = path.find('/');
  return slash == std::string::npos ? std::nullopt : std::optional(path.substr(0, slash));
}

bool allowed(const std::string& from, const std::string& to) {
  return from == to || (kLayer.count(to) && kLayer.at(from) > kLayer.at(to));
}

std::vector<std::string> violations(const fs::path& folder, const std::string& name) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc" && extension != ".cu") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);)
      if (const auto target = included_folder(line); target && !allowed(name, *target))
        found.push_back(entry.path().string() + ": " + line);
  }
  return found;
}

TEST(Layering, NoFolderIncludesOneAboveIt) {
  const fs::path root = STARLING_SOURCE_DIR;
  int folders = 0;
  for (const auto& [name, layer] : kLayer) {
    const fs::path folder = name == "app" ? root / "app" : root / "src" / name;
    ASSERT_TRUE(fs::exists(folder)) << folder;
    ++folders;
    for (const std::string& violation : violations(folder, name)) ADD_FAILURE() << violation;
  }
  EXPECT_EQ(folders, 15);
}

TEST(Layering, AnUpwardIncludeIsNotAllowed) {
  EXPECT_FALSE(allowed("core", "posts"));
  EXPECT_FALSE(allowed("infer", "search"));
  EXPECT_FALSE(allowed("train", "infer"));
  EXPECT_TRUE(allowed("search", "infer"));
}

}  // namespace
