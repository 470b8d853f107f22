#include "posts/platform_posts.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"
#include "posts/ingest.h"
#include "posts/text_clean.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

const char* const kXArchive = R"(window.YTD.tweets.part0 = [
  {
    "tweet" : {
      "id_str" : "1587000000000000001",
      "full_text" : "Robins [1] &amp; wrens at the \"feeder\" {again} #birds @bob https://t.co/x",
      "created_at" : "Wed Nov 02 08:00:00 +0000 2022", "lang" : "en",
      "in_reply_to_status_id_str" : "1586999999999999999",
      "entities" : { "hashtags" : [ { "text" : "birds", "indices" : [ "1", "2" ] } ],
        "user_mentions" : [ { "screen_name" : "bob" } ], "urls" : [ { "expanded_url" : "https://example.org/a" } ] },
      "favorite_count" : "12", "retweet_count" : "3"
    }
  },
  {
    "tweet" : { "id_str" : "2", "full_text" : "Selamat pagi", "created_at" : "Wed Nov 02 08:00:01 +0000 2022", "lang" : "in" }
  }
])";

const char* const kMastodon =
    R"({"@context":["https://www.w3.org/ns/activitystreams",{"x":"y"}],"id":"outbox.json","type":"OrderedCollection",
"totalItems":4,"orderedItems":[{"id":"https://m.example/users/al/statuses/1/activity","type":"Create",
"actor":"https://m.example/users/al","to":["https://www.w3.org/ns/activitystreams#Public"],"cc":[],
"object":{"id":"https://m.example/users/al/statuses/1","type":"Note","summary":null,"published":"2022-11-05T10:12:13Z",
"inReplyTo":"https://m.example/users/bo/statuses/9","content":"<p>Wrens &amp; robins</p><p><a>@<span>bo</span></a> today</p>",
"contentMap":{"en":"<p>Wrens</p>"},"tag":[{"type":"Hashtag","name":"#birds"},{"type":"Mention","name":"@bo@m.example"}],
"likes":{"totalItems":4},"shares":{"totalItems":2}}},
{"id":"https://m.example/users/al/statuses/2/activity","type":"Announce","actor":"https://m.example/users/al",
"to":["https://www.w3.org/ns/activitystreams#Public"],"object":"https://other.example/statuses/5"},
{"id":"https://m.example/users/al/statuses/3/activity","type":"Create","actor":"https://m.example/users/al",
"to":["https://m.example/users/bo"],"cc":[],"object":{"id":"https://m.example/users/al/statuses/3","type":"Note",
"published":"2022-11-05T10:13:13Z","content":"<p>For Bo alone</p>"}}]})";

const char* const kBluesky =
    R"({"did":"did:plc:al","time_us":1725911162329308,"kind":"commit","commit":{"rev":"r","operation":"create","collection":"app.bsky.feed.post","rkey":"3l3","record":{"$type":"app.bsky.feed.post","createdAt":"2024-09-09T19:46:02.102Z","langs":["en"],"text":"Wrens #birds","reply":{"parent":{"uri":"at://did:plc:bo/app.bsky.feed.post/9"}},"facets":[{"features":[{"$type":"app.bsky.richtext.facet#tag","tag":"birds"}]}],"embed":{"$type":"app.bsky.embed.record","record":{"cid":"c","uri":"at://did:plc:bo/app.bsky.feed.post/7"}}}}}
{"did":"did:plc:al","time_us":1725911162329309,"kind":"commit","commit":{"operation":"create","collection":"app.bsky.feed.like","rkey":"3l4","record":{"subject":{"uri":"at://did:plc:bo/app.bsky.feed.post/9"}}}}
{"did":"did:plc:cy","time_us":1725911162329310,"kind":"commit","commit":{"operation":"create","collection":"app.bsky.feed.post","rkey":"3l5","record":{"createdAt":"2024-09-09T19:47:02.102Z","langs":["de","en"],"text":"Zaunkönige"}}}
{"did":"did:plc:al","time_us":1725911162329311,"kind":"commit","commit":{"operation":"delete","collection":"app.bsky.feed.post","rkey":"3l3"}}
{"did":"did:plc:cy","time_us":1725911162329312,"kind":"account","account":{"active":false,"did":"did:plc:cy","status":"deleted"}}
)";

const char* const kReddit =
    R"({"id":"c1","name":"t1_c1","author":"al","created_utc":"1325376000","body":"A wren.","subreddit":"birding","parent_id":"t3_s1","link_id":"t3_s1","score":5,"ups":7}
{"id":"c2","author":"[deleted]","created_utc":1325376001,"body":"[deleted]","subreddit":"birding","parent_id":"t1_c1","score":1}
{"id":"s1","author":"[deleted]","created_utc":1325375000,"title":"What bird is this?","selftext":"Brown and small.","subreddit":"birding","score":-2,"num_comments":2}
)";

struct Case {
  const char* name;
  const char* content;
  Platform platform;
};
const Case kCases[] = {{"tweets.js", kXArchive, Platform::kXArchive},
                       {"outbox.json", kMastodon, Platform::kMastodon},
                       {"jetstream", kBluesky, Platform::kBluesky},
                       {"RC_2012-01", kReddit, Platform::kReddit}};

class PlatformPosts : public ::testing::Test {
 protected:
  fs::path folder_ = fs::temp_directory_path() / ("starling-platform-" + random_hex(8));
  std::vector<std::string> deletions_;

  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& content) const { std::ofstream(folder_ / "input", std::ios::binary) << content; }
  IngestReport run(const std::string& content, IngestOptions options = IngestOptions()) {
    write(content);
    options.on_deletion = [&](const std::string& kind, const std::string& id) {
      deletions_.push_back(kind + " " + id);
    };
    PostStore store(folder_ / "posts");
    return ingest(store, folder_ / "posts", {folder_ / "input"}, options);
  }
  std::vector<Post> stored() const {
    std::vector<Post> posts;
    PostStore(folder_ / "posts").for_each([&](const Post& post) {
      posts.push_back(post);
      return true;
    });
    return posts;
  }
};

TEST_F(PlatformPosts, FirstBytesNameThePlatform) {
  for (const Case& c : kCases) EXPECT_EQ(platform_of(c.content), c.platform) << c.name;
  for (const char* other : {"", "{\"id\":\"1\",\"text\":\"one\"}", "id,text\n1,one", "From a@b Thu", "[1, 2]"})
    EXPECT_EQ(platform_of(other), Platform::kNone) << other;
}

TEST_F(PlatformPosts, AnXArchive) {
  EXPECT_EQ(run(kXArchive).added, 2u);
  const Post post = stored().at(0);
  EXPECT_EQ(post.id, "1587000000000000001");
  EXPECT_EQ(post.text, "Robins [1] &amp; wrens at the \"feeder\" {again} #birds @bob https://t.co/x");
  EXPECT_EQ(post.time_s, 1667376000);
  EXPECT_EQ(post.language, "en");
  EXPECT_EQ(post.reply_to, "1586999999999999999");
  EXPECT_EQ(post.hashtags, std::vector<std::string>{"birds"});
  EXPECT_EQ(post.mentions, std::vector<std::string>{"bob"});
  EXPECT_EQ(post.urls, std::vector<std::string>{"https://example.org/a"});
  EXPECT_EQ(post.likes, 12);
  EXPECT_EQ(post.reposts, 3);
  EXPECT_EQ(stored().at(1).language, "id");
}

TEST_F(PlatformPosts, AnXArchiveTakesItsAuthorFromAMapping) {
  IngestOptions options;
  options.rows.map = FieldMap({"author==12345"});
  EXPECT_EQ(run(kXArchive, options).added, 2u);
  EXPECT_EQ(stored().at(1).author, "12345");
  EXPECT_EQ(stored().at(1).text, "Selamat pagi");
}

TEST_F(PlatformPosts, RetweetsAndHeadersOfAnXArchiveAreNotItsAuthorsPosts) {
  const IngestReport retweets = run(R"(window.YTD.tweets.part0 = [
  { "tweet" : { "id_str" : "1", "full_text" : "RT @bob: Robins at the feeder" } },
  { "tweet" : { "id_str" : "2", "full_text" : "What does RT @bob: mean?" } }
])");
  EXPECT_EQ(retweets.other, 1u);
  ASSERT_EQ(stored().size(), 1u);
  EXPECT_EQ(stored().at(0).id, "2");
  const IngestReport headers = run(R"(window.YTD.tweet_headers.part0 = [
  { "tweet" : { "tweet_id" : "3", "user_id" : "9", "created_at" : "Wed Nov 02 08:00:00 +0000 2022" } }
])");
  EXPECT_EQ(headers.bad, 0u);
  EXPECT_EQ(headers.other, 1u);
}

TEST_F(PlatformPosts, AMastodonTextThatSpeaksOfReferencesStays) {
  run(R"({"type":"OrderedCollection","orderedItems":[{"type":"Create","actor":"al","to":["as:Public"],)"
      R"("object":{"id":"1","type":"Note","content":"<p>write &amp;lt; for &lt;</p>"}}]})");
  ASSERT_EQ(stored().size(), 1u);
  EXPECT_EQ(clean_text(stored().at(0).text), "write &lt; for <");
}

TEST_F(PlatformPosts, OnlyPublicNotesOfAMastodonOutbox) {
  const IngestReport report = run(kMastodon);
  EXPECT_EQ(report.added, 1u);
  EXPECT_EQ(report.other, 2u);  // a boost, and a note to one person
  const Post post = stored().at(0);
  EXPECT_EQ(post.id, "https://m.example/users/al/statuses/1");
  EXPECT_EQ(post.author, "https://m.example/users/al");
  EXPECT_EQ(post.reply_to, "https://m.example/users/bo/statuses/9");
  EXPECT_NE(post.text.find("Wrens & robins"), std::string::npos) << post.text;
  EXPECT_NE(post.text.find("@bo today"), std::string::npos) << post.text;
  EXPECT_EQ(post.text.find('<'), std::string::npos) << post.text;
  EXPECT_EQ(post.time_s, 1667643133);
  EXPECT_EQ(post.language, "en");
  EXPECT_EQ(post.hashtags, std::vector<std::string>{"birds"});
  EXPECT_EQ(post.mentions, std::vector<std::string>{"bo@m.example"});
  EXPECT_EQ(post.likes, 4);
  EXPECT_EQ(post.reposts, 2);
}

TEST_F(PlatformPosts, BlueskyEventsArePostsAndDeletions) {
  const IngestReport report = run(kBluesky);
  EXPECT_EQ(report.rows, 5u);
  EXPECT_EQ(report.added, 2u);
  EXPECT_EQ(report.other, 1u);
  EXPECT_EQ(report.deletions, 2u);
  EXPECT_EQ(deletions_, (std::vector<std::string>{"post at://did:plc:al/app.bsky.feed.post/3l3", "author did:plc:cy"}));
  const Post post = stored().at(0);
  EXPECT_EQ(post.id, "at://did:plc:al/app.bsky.feed.post/3l3");
  EXPECT_EQ(post.author, "did:plc:al");
  EXPECT_EQ(post.time_s, 1725911162);
  EXPECT_EQ(post.language, "en");
  EXPECT_EQ(post.reply_to, "at://did:plc:bo/app.bsky.feed.post/9");
  EXPECT_EQ(post.quote_of, "at://did:plc:bo/app.bsky.feed.post/7");
  EXPECT_EQ(post.hashtags, std::vector<std::string>{"birds"});
  EXPECT_EQ(stored().at(1).language, "");  // two are named: prepare detects it
}

TEST_F(PlatformPosts, BlueskyEditsAndTextsThatAreNoneAreNotPosts) {
  const auto event = [](const char* operation, const char* key, const char* text) {
    return std::string(R"({"did":"did:plc:al","time_us":1,"kind":"commit","commit":{"operation":")") + operation +
           R"(","collection":"app.bsky.feed.post","rkey":")" + key + R"(","record":{"text":)" + text + "}}}\n";
  };
  const IngestReport report =
      run(event("create", "1", "\"Wrens\"") + event("update", "1", "\"Robins\"") + event("update", "2", "\"Owls\"") +
          event("create", "3", "42") + event("create", "4", "[\"Larks\"]") + event("create", "5", "\"\""));
  EXPECT_EQ(report.added, 1u);
  EXPECT_EQ(report.other, 5u);
  EXPECT_EQ(report.known, 0u);
  EXPECT_EQ(stored().at(0).text, "Wrens");
}

TEST_F(PlatformPosts, RedditRepliesNameTheirParents) {
  const IngestReport report = run(kReddit);
  EXPECT_EQ(report.added, 2u);
  EXPECT_EQ(report.other, 1u);  // the removed comment
  const std::vector<Post> posts = stored();
  EXPECT_EQ(posts.at(0).id, "t1_c1");
  EXPECT_EQ(posts.at(0).reply_to, posts.at(1).id);
  EXPECT_EQ(posts.at(0).community, "birding");
  EXPECT_EQ(posts.at(0).time_s, 1325376000);
  EXPECT_EQ(posts.at(0).likes, 5);
  EXPECT_EQ(posts.at(1).author, "");
  EXPECT_EQ(posts.at(1).text, "What bird is this?\n\nBrown and small.");
  EXPECT_EQ(posts.at(1).likes, 0);
}

// A tweet must not need memory for its neighbours, nor end at a bracket in its text.
TEST_F(PlatformPosts, ALongListIsReadRecordByRecord) {
  std::string archive = "window.YTD.tweets.part0 = [ ";
  for (int i = 0; i < 3000; ++i)
    archive +=
        (i > 0 ? ",\n" : "") + ("{\"tweet\":{\"id_str\":\"" + std::to_string(i) + "\",\"full_text\":\"]}\\\\\\\" " +
                                std::string(static_cast<size_t>(i % 200), 'x') + "\"}}");
  IngestOptions options;
  options.rows.max_row_bytes = 512;
  const IngestReport report = run(archive + " ]", options);
  EXPECT_EQ(report.added, 3000u);
  EXPECT_TRUE(report.failed_files.empty());
}

TEST_F(PlatformPosts, ARecordThatIsTooLongOrBrokenCostsItself) {
  const std::string long_text(2000, 'x');
  IngestOptions options;
  options.rows.max_row_bytes = 512;
  const IngestReport report =
      run("window.YTD.tweets.part0 = [\n{\"tweet\":{\"id_str\":\"1\",\"full_text\":\"" + long_text +
              "\"}},\n{\"tweet\":{\"id_str\":\"2\",\"full_text\":\"never closed}},\n" +
              "{\"tweet\":{\"id_str\":\"3\",\"full_text\":\"good\"}} ]",
          options);
  EXPECT_GE(report.bad, 1u);
  EXPECT_NE(report.problems.at(0).find("input:2: longer than 512 bytes"), std::string::npos) << report.problems.at(0);
}

TEST_F(PlatformPosts, ATruncatedFileIsReportedAndKeepsWhatCameBefore) {
  for (const Case& c : kCases) {
    const std::string whole = c.content;
    const bool list = !list_opening(c.platform).empty();
    for (size_t size = list ? 30 : 1; size < whole.size(); size += 61) {
      fs::remove_all(folder_ / "posts");
      const IngestReport report = run(whole.substr(0, size));
      if (list) {
        EXPECT_GT(report.failed_files.size() + report.bad, 0u) << c.name << " " << size;
      }
      EXPECT_EQ(report.rows,
                report.added + report.known + report.deleted + report.bad + report.other + report.deletions);
    }
  }
}

TEST_F(PlatformPosts, BitFlipsNeverCrash) {
  for (const Case& c : kCases)
    for (uint64_t round = 0; round < 300; ++round) {
      std::string damaged = c.content;
      damaged[random_u64(11, 0, round) % damaged.size()] ^= static_cast<char>(1 << (round % 8));
      write(damaged);
      try {
        const auto reader = RowReader::open(folder_ / "input", RowOptions());
        uint64_t rows = 0;
        for (Row row; reader->next(row);) ++rows;
        EXPECT_LE(rows, 200u);
      } catch (const DataError& error) {
        EXPECT_NE(std::string(error.what()), "");
      }
    }
}

}  // namespace
}  // namespace starling
