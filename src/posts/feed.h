// Accounts that only announce: of many posts hardly one speaks to somebody, asks or exclaims. So do automated news
// feeds; people do not where posts are a conversation. Titles of links (Hacker News) look alike, whoever posts them.
// docs/formats/posts.md has the measured precision and recall.
#pragma once

#include <cstdint>

#include "posts/post.h"

namespace starling {

struct PostManner {
  bool addresses = false;  // mentions somebody, answers or quotes
  bool exclaims = false;   // or asks: has an exclamation or question mark of any script
};
PostManner manner_of(const Post& post);

// Of one author.
struct MannerCounts {
  uint64_t posts = 0, addressing = 0, exclaiming = 0;

  void add(const PostManner& manner);
  bool is_feed() const;
};

}  // namespace starling
