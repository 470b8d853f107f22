// What the records of other platforms' files say. Each platform is a table from a post's fields to the places where its
// records have them; `--map` reads what the table does not.
//   X archive          tweets.js, tweets-part1.js: `window.YTD.tweets.part0 = [ {"tweet": {...}}, ... ]`
//   Mastodon           outbox.json, an ActivityStreams 2.0 OrderedCollection; only public notes become posts
//   Bluesky            jetstream events, JSON lines: app.bsky.feed.post is read, its deletions and deleted accounts
//                      are obeyed
//   Reddit             dumps of comments (RC_*) and submissions (RS_*), JSON lines
// Sources: W3C ActivityStreams 2.0; https://github.com/bluesky-social/jetstream; the lexicon app.bsky.feed.post.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>
#include <vector>

#include "posts/record_kind.h"

namespace starling {

enum class Platform { kNone, kXArchive, kMastodon, kBluesky, kReddit };

// By the first bytes of a file, kNone when they name no platform.
Platform platform_of(std::string_view first_bytes);

// The text before the list of records; empty when the file is JSON lines.
std::string list_opening(Platform platform);

RecordKind record_kind(Platform platform, simdjson::dom::element record);

// The values of a post's field (docs/formats/posts.md), or of a path of the record when `source` is not such a field.
std::vector<std::string> platform_values(Platform platform, simdjson::dom::element record, const std::string& source);

// Ids are full names, but a record may hold their parts: the author and the key, and the id without its kind.
std::string bluesky_post_id(const std::string& did, const std::string& key);
inline constexpr const char *kRedditComment = "t1_", *kRedditSubmission = "t3_";

}  // namespace starling
