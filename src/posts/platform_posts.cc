#include "posts/platform_posts.h"

#include <map>
#include <optional>

#include "posts/json_path.h"
#include "posts/text_clean.h"

namespace starling {
namespace {

using simdjson::dom::element;
using Values = std::vector<std::string>;
using Table = std::map<std::string, std::string>;  // field of a post -> path in the record; empty: nowhere

const Table& table_of(Platform platform) {
  static const std::map<Platform, Table> tables = {{Platform::kNone, {}},
                                                   {Platform::kXArchive,
                                                    {{"id", "id_str"},
                                                     {"text", "full_text"},
                                                     {"time", "created_at"},
                                                     {"language", "lang"},
                                                     {"reply_to", "in_reply_to_status_id_str"},
                                                     {"hashtags", "entities.hashtags.text"},
                                                     {"mentions", "entities.user_mentions.screen_name"},
                                                     {"urls", "entities.urls.expanded_url"},
                                                     {"likes", "favorite_count"},
                                                     {"reposts", "retweet_count"}}},
                                                   {Platform::kMastodon,
                                                    {{"id", "object.id"},
                                                     {"author", "actor"},
                                                     {"time", "object.published"},
                                                     {"reply_to", "object.inReplyTo"},
                                                     {"urls", ""},
                                                     {"likes", "object.likes.totalItems"},
                                                     {"reposts", "object.shares.totalItems"},
                                                     {"replies", "object.replies.totalItems"}}},
                                                   {Platform::kBluesky,
                                                    {{"author", "did"},
                                                     {"text", "commit.record.text"},
                                                     {"time", "commit.record.createdAt"},
                                                     {"reply_to", "commit.record.reply.parent.uri"},
                                                     {"hashtags", "commit.record.facets.features.tag"},
                                                     {"mentions", "commit.record.facets.features.did"},
                                                     {"urls", "commit.record.facets.features.uri"}}},
                                                   {Platform::kReddit,
                                                    {{"time", "created_utc"},
                                                     {"community", "subreddit"},
                                                     {"reply_to", "parent_id"},
                                                     {"likes", "score"},
                                                     {"replies", "num_comments"}}}};
  return tables.at(platform);
}

// Archives of some years wrap each tweet, others do not.
element unwrapped(element record) {
  element tweet;
  return record["tweet"].get(tweet) == simdjson::SUCCESS && tweet.is_object() ? tweet : record;
}

// The platform writes "in" and "iw" for Indonesian and Hebrew; "qme", "zxx", "art" and the like are not languages.
Values x_language(const std::string& code) {
  if (code == "in") return {"id"};
  if (code == "iw") return {"he"};
  const bool none = code.size() == 3 && (code[0] == 'q' || code == "zxx" || code == "art" || code == "und");
  return {none ? "und" : code};
}

// What somebody else wrote, or, as in tweet-headers.js, no text at all.
bool is_x_other(element tweet) {
  const std::string text = json_text_at(tweet, "full_text");
  if (text.empty()) return json_text_at(tweet, "id_str").empty() && !json_text_at(tweet, "tweet_id").empty();
  return text.starts_with("RT @") && text.find(": ") == text.find_first_of(" :", 4);
}

bool is_public(element activity) {
  for (const char* path : {"to", "cc"})
    for (const std::string& to : json_values(activity, path))
      if (to.ends_with("#Public") || to == "as:Public" || to == "Public") return true;
  return false;
}

// The note's language is the only key of its contentMap.
Values mastodon_language(element record) {
  simdjson::dom::object map;
  if (record["object"]["contentMap"].get(map) != simdjson::SUCCESS || map.size() != 1) return {};
  return {std::string((*map.begin()).key)};
}

// Names of the note's tags of a type, such as "#birds" and "@bob@example.org".
Values mastodon_tags(element record, std::string_view type) {
  Values names;
  simdjson::dom::array tags;
  if (record["object"]["tag"].get(tags) != simdjson::SUCCESS) return names;
  for (const element tag : tags)
    if (json_text_at(tag, "type") == type) names.push_back(json_text_at(tag, "name"));
  return names;
}

std::string bluesky_uri(element record) {
  return bluesky_post_id(json_text_at(record, "did"), json_text_at(record, "commit.rkey"));
}

// A quote alone, or a quote beside pictures.
Values bluesky_quote(element record) {
  for (const char* path : {"commit.record.embed.record.uri", "commit.record.embed.record.record.uri"})
    if (std::string uri = json_text_at(record, path); uri.find("/app.bsky.feed.post/") != std::string::npos)
      return {uri};
  return {};
}

bool is_comment(element record) {
  element body;
  return record["body"].get(body) == simdjson::SUCCESS;
}

bool is_removed(const std::string& text) { return text == "[deleted]" || text == "[removed]"; }

// What a path alone does not say; nothing when the table does.
std::optional<Values> computed(Platform platform, element record, const std::string& field) {
  switch (platform) {
    case Platform::kNone:
      break;
    case Platform::kXArchive:
      if (field == "language") return x_language(json_text_at(unwrapped(record), "lang"));
      break;
    case Platform::kMastodon:
      if (field == "text")
        return Values{with_references(json_text_at(record, "object.summary")),
                      with_references(html_to_text(json_text_at(record, "object.content")))};
      if (field == "language") return mastodon_language(record);
      if (field == "hashtags") return mastodon_tags(record, "Hashtag");
      if (field == "mentions") return mastodon_tags(record, "Mention");
      break;
    case Platform::kBluesky:
      if (field == "id") return Values{bluesky_uri(record)};
      if (field == "quote_of") return bluesky_quote(record);
      if (field == "language") {  // several: detected later
        Values languages = json_values(record, "commit.record.langs");
        return languages.size() == 1 ? languages : Values{};
      }
      break;
    case Platform::kReddit:  // ids as parent_id writes them, so that replies find their parents
      if (field == "id") {
        const std::string id = json_text_at(record, "id");
        return Values{id.empty() ? id : (is_comment(record) ? kRedditComment : kRedditSubmission) + id};
      }
      if (field == "author") {
        const std::string author = json_text_at(record, "author");
        return Values{is_removed(author) ? std::string() : author};
      }
      if (field == "text") {
        if (is_comment(record)) return Values{json_text_at(record, "body")};
        std::string text = json_text_at(record, "selftext");
        return Values{json_text_at(record, "title"), is_removed(text) ? std::string() : text};
      }
      break;
  }
  return {};
}

RecordKind bluesky_kind(element record) {
  if (json_text_at(record, "kind") == "account") {
    if (json_text_at(record, "account.status") != "deleted") return {RecordKind::kOther, {}, {}};
    return {RecordKind::kDeletion, "author", json_text_at(record, "did")};
  }
  if (json_text_at(record, "commit.collection") != "app.bsky.feed.post") return {RecordKind::kOther, {}, {}};
  const std::string operation = json_text_at(record, "commit.operation");
  if (operation == "delete") return {RecordKind::kDeletion, "post", bluesky_uri(record)};
  std::string_view text;
  const bool says = record["commit"]["record"]["text"].get(text) == simdjson::SUCCESS && !text.empty();
  return says && operation != "update" ? RecordKind{} : RecordKind{RecordKind::kOther, {}, {}};
}

}  // namespace

Platform platform_of(std::string_view first_bytes) {
  const auto has = [&](std::string_view text) { return first_bytes.find(text) != std::string_view::npos; };
  const size_t begin = first_bytes.find_first_not_of("\xef\xbb\xbf \t\r\n");
  if (begin == std::string_view::npos) return Platform::kNone;
  const std::string_view first = first_bytes.substr(begin);
  if (first.starts_with("window.YTD.tweet")) return Platform::kXArchive;
  if (!first.starts_with('{')) return Platform::kNone;
  if (has("\"OrderedCollection\"") || has("\"orderedItems\"")) return Platform::kMastodon;
  if (has("\"did\":\"did:") && has("\"time_us\":")) return Platform::kBluesky;
  if (has("\"subreddit\":") && has("\"created_utc\":")) return Platform::kReddit;
  return Platform::kNone;
}

std::string bluesky_post_id(const std::string& did, const std::string& key) {
  return "at://" + did + "/app.bsky.feed.post/" + key;
}

std::string list_opening(Platform platform) {
  if (platform == Platform::kXArchive) return "=";
  return platform == Platform::kMastodon ? "\"orderedItems\"" : "";
}

RecordKind record_kind(Platform platform, element record) {
  bool other = false;
  if (platform == Platform::kBluesky) return bluesky_kind(record);
  if (platform == Platform::kMastodon)
    other =
        json_text_at(record, "type") != "Create" || json_text_at(record, "object.type") != "Note" || !is_public(record);
  if (platform == Platform::kXArchive) other = is_x_other(unwrapped(record));
  if (platform == Platform::kReddit) other = is_comment(record) && is_removed(json_text_at(record, "body"));
  return {other ? RecordKind::kOther : RecordKind::kPost, {}, {}};
}

Values platform_values(Platform platform, element record, const std::string& source) {
  if (std::optional<Values> values = computed(platform, record, source)) return *std::move(values);
  const Table& table = table_of(platform);
  const auto path = table.find(source);
  const element root = platform == Platform::kXArchive ? unwrapped(record) : record;
  if (path == table.end()) return json_values(root, source);
  return path->second.empty() ? Values{} : json_values(root, path->second);
}

}  // namespace starling
