#include "posts/feed.h"

#include <algorithm>
#include <string_view>

namespace starling {
namespace {

// Chosen on the tweets that docs/formats/posts.md measures them on.
constexpr uint64_t kMinPosts = 50;
constexpr double kMostAddressing = 0.05, kMostExclaiming = 0.08;

// Latin, full-width, Arabic, Spanish, Armenian, Ethiopic.
constexpr std::string_view kMarks[] = {"!", "?", "！", "？", "؟", "¡", "¿", "՞", "՜", "፧"};

}  // namespace

PostManner manner_of(const Post& post) {
  const auto has = [&](std::string_view mark) { return post.text.find(mark) != std::string::npos; };
  return {.addresses = !post.mentions.empty() || !post.reply_to.empty() || !post.quote_of.empty(),
          .exclaims = std::ranges::any_of(kMarks, has)};
}

void MannerCounts::add(const PostManner& manner) {
  ++posts;
  addressing += manner.addresses ? 1 : 0;
  exclaiming += manner.exclaims ? 1 : 0;
}

bool MannerCounts::is_feed() const {
  const auto below = [&](uint64_t count, double share) {
    return static_cast<double>(count) < share * static_cast<double>(posts);
  };
  return posts >= kMinPosts && below(addressing, kMostAddressing) && below(exclaiming, kMostExclaiming);
}

}  // namespace starling
