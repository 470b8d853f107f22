#include "ads/audience_finder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/progress.h"
#include "search/search_service.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

// Tags come from posts, so anybody may write one that is no query.
TEST(AudienceFinder, PassesOverAHashtagThatCannotBeSearchedFor) {
  Progress::set_quiet(true);
  const fs::path root = fs::temp_directory_path() / fmt::format("starling_audiences_{}", getpid());
  fs::remove_all(root);
  const Workspace workspace = Workspace::create(root, "");
  PostStore store(workspace.posts());
  ControlDb control(workspace.control_db());
  std::vector<Post> posts;
  for (int i = 0; i < 300; ++i) {
    Post post{.id = std::to_string(i), .author = std::to_string(i), .text = "rain", .language = "en"};
    if (i < 60) post.text = "a laptop", post.hashtags = {"linux", std::string(1100, 'a'), "..."};
    posts.push_back(post);
  }
  store.append_segment(posts);
  SearchService search(workspace, Config(search_config_keys()), store, control, nullptr);
  Brief brief{.product = "Lemur laptop"};
  brief.find_audiences = true;
  std::vector<std::string> names;
  for (const AdAudience& audience : find_audiences(brief, search).audiences) names.push_back(audience.name);
  EXPECT_THAT(names, testing::UnorderedElementsAre("laptop", "linux"));
  fs::remove_all(root);
}

}  // namespace
}  // namespace starling
