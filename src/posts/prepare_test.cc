#include "posts/prepare.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/stop.h"
#include "posts/canary.h"
#include "posts/dedup.h"
#include "posts/ingest.h"
#include "posts/part_files.h"
#include "posts/purge.h"
#include "posts/shards.h"
#include "posts/spam.h"
#include "store/control_db.h"
#include "tokenizer/tokenizer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

const char* kWords[] = {"heron",   "river",   "quiet",  "winter",  "garden",  "engine", "library", "yellow",
                        "thunder", "bicycle", "market", "station", "kitchen", "paper",  "window",  "summer",
                        "bridge",  "music",   "silver", "forest",  "candle",  "harbor", "morning", "island"};

// A sentence of eight words that depends on `seed` only.
std::string sentence(uint64_t seed) {
  std::string text = "the";
  for (int i = 0; i < 8; ++i) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    text += std::string(" ") + kWords[(seed >> 33) % std::size(kWords)];
  }
  return text;
}

class Prepare : public ::testing::Test {
 protected:
  Workspace workspace_{fs::temp_directory_path() / ("starling-prepare-" + random_hex(8))};
  std::vector<Post> posts_;

  void SetUp() override { fs::create_directories(workspace_.posts()); }
  void TearDown() override { fs::remove_all(workspace_.root); }

  Post& add(const std::string& id, const std::string& text, const std::string& author = "", int64_t time_s = 0) {
    Post post;
    post.id = id;
    post.text = text;
    post.author = author;
    post.language = "en";
    post.time_s = time_s != 0 ? time_s : 1'000'000 + static_cast<int64_t>(posts_.size());
    posts_.push_back(post);
    return posts_.back();
  }
  void add_fillers(int count) {
    for (int i = 0; i < count; ++i)
      add("filler-" + std::to_string(i), sentence(static_cast<uint64_t>(i) + 17), "author-" + std::to_string(i));
  }
  Config config(const std::vector<std::string>& assignments = {}) const {
    std::vector<ConfigKey> keys = posts_config_keys();
    for (const ConfigKey& key : tokenizer_config_keys()) keys.push_back(key);
    Config config(keys);
    config.set("tokenizer.vocab_size=300");
    for (const std::string& assignment : assignments) config.set(assignment);
    return config;
  }
  PrepareReport run(const std::vector<std::string>& assignments = {}) {
    PostStore(workspace_.posts()).append_segment(posts_);
    const ControlDb control(workspace_.control_db());
    return prepare(workspace_, config(assignments), control, [](const std::string&, uint64_t, uint64_t) {});
  }
  std::vector<std::string> ids(const std::string& split) const {
    const ShardReader reader(workspace_.shards(), split);
    std::vector<std::string> found;
    for (uint64_t i = 0; i < reader.sample_count(); ++i) found.emplace_back(reader.sample(i).post_id);
    return found;
  }
  bool kept(const std::string& id) const {
    for (const char* split : {"train", "valid"})
      for (const std::string& found : ids(split))
        if (found == id) return true;
    return false;
  }
  std::string text_of(const std::string& id) const {
    const auto tokenizer = Tokenizer::load(workspace_.tokenizer());
    for (const char* split : {"train", "valid"}) {
      const ShardReader reader(workspace_.shards(), split);
      for (uint64_t i = 0; i < reader.sample_count(); ++i)
        if (reader.sample(i).post_id == id) return tokenizer->decode(reader.sample(i).tokens);
    }
    return "not kept";
  }
};

uint64_t dropped(const PrepareReport& report, DropReason reason) { return report.dropped[static_cast<size_t>(reason)]; }

// Posts in five segments, with duplicates across them, prepared by three machines.
class PrepareInParts : public Prepare {
 protected:
  void SetUp() override {
    Prepare::SetUp();
    add_fillers(100);
    for (int i = 0; i < 20; ++i) {
      add("exact-" + std::to_string(i), "The " + sentence(static_cast<uint64_t>(i) + 17).substr(4) + "!!!");
      add("near-" + std::to_string(i), sentence(static_cast<uint64_t>(i) + 47) + " x");
      add("other-" + std::to_string(i), sentence(static_cast<uint64_t>(i) + 5000)).language = i % 2 == 0 ? "de" : "fr";
    }
    add("mail", "Write to someone@example.org about " + sentence(7000), "gone");
    store_posts();
  }
  void store_posts() {
    PostStore store(workspace_.posts());
    for (size_t i = 0; i < posts_.size(); i += 33)
      store.append_segment({posts_.begin() + static_cast<ptrdiff_t>(i),
                            posts_.begin() + static_cast<ptrdiff_t>(std::min(i + 33, posts_.size()))});
  }
  void run_part(uint32_t index, const std::vector<std::string>& assignments = {}) {
    const ControlDb control(workspace_.control_db());
    prepare_part(workspace_, config(assignments), control, {index, 3}, [](const std::string&, uint64_t, uint64_t) {});
  }
  PrepareReport merge(const std::vector<std::string>& assignments = {}) {
    const ControlDb control(workspace_.control_db());
    return merge_parts(workspace_, config(assignments), control, 3, [](const std::string&, uint64_t, uint64_t) {});
  }
  // Prepares in a process of its own, since a stop cannot be taken back, and asks for one when `stage` begins.
  bool ends_when_stopped_in(const std::string& stage, const std::vector<std::string>& assignments) const {
    const pid_t child = ::fork();
    if (child == 0) {
      bool went_on = false;
      const auto progress = [&](const std::string& now, uint64_t, uint64_t) {
        went_on = went_on || stop_requested();
        if (now == stage) request_stop();
      };
      try {
        prepare(workspace_, config(assignments), ControlDb(workspace_.control_db()), progress);
      } catch (const Error&) {
        ::_exit(stop_requested() && !went_on ? 0 : 1);
      }
      ::_exit(1);
    }
    int status = 0;
    return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  std::map<std::string, std::string> shard_files() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(workspace_.shards()))
      files[entry.path().filename()] = read_file(entry.path());
    return files;
  }
};

TEST_F(PrepareInParts, AMergeGivesTheBytesOfOneRun) {
  const PrepareReport whole = run();
  EXPECT_EQ(dropped(whole, DropReason::kExactDuplicate), 20u);
  EXPECT_GT(dropped(whole, DropReason::kNearDuplicate), 0u);
  const auto files = shard_files();
  fs::remove_all(workspace_.shards());
  fs::remove(workspace_.tokenizer());
  for (const uint32_t index : {3, 1, 2}) run_part(index);
  merge();
  EXPECT_EQ(shard_files(), files);
  EXPECT_FALSE(fs::exists(workspace_.root / "shards.parts"));  // no deletion reaches the texts in it
}

// Without memory 64 rows are a run (scratch_file.h), and there are 161 posts: each list and each sort goes to its file.
TEST_F(PrepareInParts, WithoutMemoryTheBytesAreTheSameAndNoOtherFileIsLeft) {
  for (size_t i = 0; i < posts_.size(); ++i) {
    posts_[i].time_s = static_cast<int64_t>(i * 7919 % 30) + 1;  // ties, and not in the order of ingest
    posts_[i].author = "author-" + std::to_string(i % 40);
  }
  fs::remove_all(workspace_.posts());
  store_posts();
  const std::vector<std::string> limits = {"prepare.max_posts_per_author=3", "prepare.max_template_posts=1"};
  const PrepareReport whole = run(limits);
  EXPECT_EQ(whole.posts, 161u);
  EXPECT_GT(whole.train.posts, 64u);
  for (const DropReason reason :
       {DropReason::kTemplate, DropReason::kExactDuplicate, DropReason::kNearDuplicate, DropReason::kAuthorCap})
    EXPECT_GT(dropped(whole, reason), 0u) << kDropNames[static_cast<size_t>(reason)];
  const auto files = shard_files();
  fs::remove(workspace_.tokenizer());
  const std::vector<std::string> small = {limits[0], limits[1], "prepare.memory_mb=0"};
  run(small);
  EXPECT_EQ(shard_files(), files);
  for (const uint32_t index : {1, 2, 3}) run_part(index, small);
  fs::remove(workspace_.tokenizer());
  merge(small);
  EXPECT_EQ(shard_files(), files);
  EXPECT_FALSE(fs::exists(workspace_.shards().string() + ".tmp"));
}

// The stages between reading and the tokenizer, with all sorts on disk.
TEST_F(PrepareInParts, AStopEndsTheStageThatItComesInAndTheNextRunGivesTheSameBytes) {
  const std::vector<std::string> settings = {"prepare.memory_mb=0", "prepare.max_feed_posts=50",
                                             "prepare.max_posts_per_author=3"};
  ASSERT_FALSE(ends_when_stopped_in("no stage", settings));
  const auto files = shard_files();
  for (const char* stage :
       {"sort", "accounts", "feed", "template", "exact_duplicate", "near_duplicate", "author_cap", "kept"}) {
    EXPECT_TRUE(ends_when_stopped_in(stage, settings)) << stage;
    EXPECT_EQ(shard_files(), files) << stage;
  }
  fs::remove_all(workspace_.shards());
  fs::remove(workspace_.tokenizer());
  run(settings);
  EXPECT_EQ(shard_files(), files);
}

TEST_F(PrepareInParts, AMergeObeysDeletionsSinceThePartsWereMade) {
  for (const uint32_t index : {1, 2, 3}) run_part(index);
  ControlDb(workspace_.control_db()).add_tombstone({"author", "gone", 1, "test"});
  EXPECT_EQ(dropped(merge(), DropReason::kDeleted), 1u);
  EXPECT_FALSE(kept("mail"));
}

TEST_F(PrepareInParts, ADeletionReachesTheTextsOfThePartsAndTheMergeStillTakesThem) {
  const auto parts_hold = [&](const std::string& text) {
    for (const auto& entry : fs::directory_iterator(workspace_.root / "shards.parts"))
      if (read_file(entry.path()).find(text) != std::string::npos) return true;
    return false;
  };
  const std::string secret = "about " + sentence(7000);
  PostStore posts(workspace_.posts());
  ControlDb control(workspace_.control_db());
  const auto forget = [&](const Tombstone& tombstone) {
    control.add_tombstone(tombstone);
    purge_deleted(workspace_, posts, control, {tombstone});
  };
  for (const uint32_t index : {1, 2, 3}) run_part(index);
  EXPECT_TRUE(parts_hold(secret));
  {
    std::deque<FileLock> merging;
    for (const uint32_t index : {1, 2, 3}) merging.emplace_back(part_file(workspace_, {index, 3}, "lock"), "merge");
    forget({"author", "gone", 1, "test"});
    EXPECT_TRUE(parts_hold(secret)) << "a merge that reads them must find them whole";
  }
  forget({"post", "filler-3", 1, "test"});
  EXPECT_FALSE(parts_hold(secret));
  EXPECT_FALSE(parts_hold(sentence(20)));
  EXPECT_TRUE(parts_hold(sentence(21)));
  EXPECT_EQ(dropped(merge(), DropReason::kDeleted), 2u);
  EXPECT_FALSE(kept("mail"));
  EXPECT_TRUE(kept("filler-4"));
}

// As when it was read before the tombstone came, and finished after.
TEST_F(PrepareInParts, ADeletionWhileAPartIsMadeReachesItAtItsEnd) {
  ControlDb control(workspace_.control_db());
  const auto progress = [&](const std::string&, uint64_t, uint64_t) {
    if (!control.tombstones().empty()) return;
    control.add_tombstone({"post", "filler-3", 1, "test"});
    purge_parts(workspace_, control);
  };
  prepare_part(workspace_, config(), control, {1, 3}, progress);
  const std::string texts = read_file(workspace_.root / "shards.parts/00001-of-00003.texts");
  EXPECT_NE(texts.find(sentence(21)), std::string::npos);
  EXPECT_EQ(texts.find(sentence(20)), std::string::npos);
}

TEST_F(PrepareInParts, ADeletionRemovesAPartThatAKillLeftHalfMade) {
  run_part(1);
  const fs::path folder = workspace_.root / "shards.parts";
  fs::remove(folder / "00001-of-00003.json");
  purge_parts(workspace_, ControlDb(workspace_.control_db()));
  EXPECT_FALSE(fs::exists(folder / "00001-of-00003.texts"));
  run_part(1);
  EXPECT_TRUE(fs::exists(folder / "00001-of-00003.texts"));
}

TEST_F(PrepareInParts, AMissingOrDamagedOrForeignPartIsNamed) {
  run_part(1);
  run_part(2);
  EXPECT_THROW(merge(), IoError);
  run_part(3, {"prepare.min_chars=4"});
  EXPECT_THROW(merge(), DataError);
  run_part(3);
  for (const char* extension : {"texts", "signatures", "records", "json"}) {
    const fs::path path = workspace_.root / "shards.parts" / (std::string("00002-of-00003.") + extension);
    const std::string whole = read_file(path);
    write_file_atomic(path, whole.substr(0, whole.size() / 2));
    try {
      merge();
      ADD_FAILURE() << extension;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find("--shard 2/3"), std::string::npos) << error.what();
    }
    write_file_atomic(path, whole);
  }
  EXPECT_FALSE(fs::exists(workspace_.shards() / "manifest.json"));
  EXPECT_GT(merge().train.posts, 100u);
  const ControlDb control(workspace_.control_db());
  for (const Part part : {Part{0, 3}, Part{4, 3}, Part{1, 0}})
    EXPECT_THROW(prepare_part(workspace_, config(), control, part, {}), ConfigError);
}

TEST_F(Prepare, EveryReasonDropsItsPostAndThePartsAddUp) {
  add_fillers(100);
  add("deleted", sentence(9001), "x");
  add("gone-author", sentence(9002), "gone");
  add("opted-out", sentence(9003), "private");
  add("short", "ok");
  add("foreign", sentence(9004)).language = "xx";
  add("spam", "URGENT! You have won a guaranteed cash prize, call now to claim your free gift!!!");
  add("exact", "The " + sentence(17).substr(4) + "!!! https://example.org/1");
  add("near", sentence(18) + " x");
  {
    ControlDb control(workspace_.control_db());
    control.add_tombstone({"post", "deleted", 1, "test"});
    control.add_tombstone({"author", "gone", 1, "test"});
    control.add_opt_out("private", "training");
  }
  const PrepareReport report = run({"prepare.languages=en, de"});
  EXPECT_EQ(report.posts, 108u);
  EXPECT_EQ(dropped(report, DropReason::kDeleted), 2u);
  EXPECT_EQ(dropped(report, DropReason::kOptedOut), 1u);
  EXPECT_EQ(dropped(report, DropReason::kTooShort), 1u);
  EXPECT_EQ(dropped(report, DropReason::kLanguage), 1u);
  EXPECT_EQ(dropped(report, DropReason::kSpam), 1u);
  EXPECT_EQ(dropped(report, DropReason::kExactDuplicate), 1u);
  EXPECT_EQ(dropped(report, DropReason::kNearDuplicate), 1u);
  EXPECT_EQ(report.train.posts + report.valid.posts, 100u);
  for (const char* id : {"deleted", "gone-author", "opted-out", "short", "foreign", "spam", "exact", "near"})
    EXPECT_FALSE(kept(id)) << id;
  EXPECT_TRUE(fs::exists(workspace_.shards() / "report.json"));
}

TEST_F(Prepare, ValidationIsTheLatestAndSamplesFollowTime) {
  add_fillers(100);
  std::reverse(posts_.begin(), posts_.end());
  const PrepareReport report = run({"prepare.validation_fraction=0.1"});
  EXPECT_EQ(report.valid.posts, 10u);
  EXPECT_LT(report.train.last_time_s, report.valid.first_time_s);
  EXPECT_EQ(ids("train").front(), "filler-0");
  EXPECT_EQ(ids("valid").back(), "filler-99");
}

TEST_F(Prepare, TheSamePostsGiveTheSameBytesInWhateverOrderTheyCame) {
  add_fillers(60);
  for (Post& post : posts_) post.time_s = 5;  // ties
  run();
  const std::string manifest = read_file(workspace_.shards() / "manifest.json");
  fs::remove_all(workspace_.posts());
  fs::remove(workspace_.tokenizer());
  std::reverse(posts_.begin(), posts_.end());
  run();
  EXPECT_EQ(read_file(workspace_.shards() / "manifest.json"), manifest);
}

TEST_F(Prepare, SamplesHoldWhatTheAuthorWroteWithoutPersonalData) {
  add_fillers(40);
  add("mail", "On Monday Bob wrote:\n> an old line\n\nWrite to me@example.org &amp; call +44 20 7946 0958\n-- \nMe");
  const PrepareReport report = run();
  EXPECT_EQ(text_of("mail"), "Write to [EMAIL] & call [PHONE]");
  EXPECT_EQ(report.personal_data, (PersonalDataCounts{1, 1, 0, 0, 0}));
}

TEST_F(Prepare, ALongPostIsCutAndItsBytesAreThoseOfItsTokens) {
  add_fillers(40);
  add("long", sentence(1) + " " + sentence(2) + " " + sentence(3));
  const PrepareReport report = run({"prepare.max_tokens=20", "prepare.validation_fraction=0"});
  EXPECT_GE(report.cut_posts, 1u);
  const ShardReader reader(workspace_.shards(), "train");
  const auto tokenizer = Tokenizer::load(workspace_.tokenizer());
  for (uint64_t i = 0; i < reader.sample_count(); ++i) {
    const Sample sample = reader.sample(i);
    EXPECT_LE(sample.tokens.size(), 20u);
    EXPECT_EQ(sample.tokens.back(), tokenizer->special_id(kEndToken));
    EXPECT_EQ(tokenizer->decode(sample.tokens).size(), sample.text_bytes);
  }
}

// 60 posts each: one that speaks to nobody, one that asks now and then, and one that answers.
TEST_F(Prepare, OfAccountsThatOnlyAnnounceTheLatestPostsAreKept) {
  for (uint64_t i = 0; i < 60; ++i) {
    add("feed-" + std::to_string(i), sentence(3 * i + 7000), "newsfeed").time_s = static_cast<int64_t>(1000 + i);
    add("asks-" + std::to_string(i), sentence(3 * i + 7001) + (i % 10 == 0 ? "？" : ""), "ann");
    add("answers-" + std::to_string(i), sentence(3 * i + 7002), "bob").reply_to = i % 10 == 0 ? "feed-1" : "";
  }
  EXPECT_EQ(dropped(run(), DropReason::kFeed), 0u);
  const PrepareReport report = run({"prepare.max_feed_posts=20"});
  EXPECT_EQ(dropped(report, DropReason::kFeed), 40u);
  const std::vector<std::string> left = ids("train");
  EXPECT_EQ(std::count(left.begin(), left.end(), "feed-39"), 0);
  EXPECT_EQ(std::count(left.begin(), left.end(), "feed-40"), 1);
}

TEST_F(Prepare, AnAuthorsTemplateAndCapAreLimited) {
  add_fillers(40);
  for (int i = 0; i < 9; ++i)
    add("t" + std::to_string(i), "Sold item number " + std::to_string(i) + "000000000000 in the shop today", "robot");
  for (int i = 0; i < 9; ++i) add("c" + std::to_string(i), sentence(5000 + static_cast<uint64_t>(i)), "writer");
  const PrepareReport report =
      run({"prepare.max_template_posts=3", "prepare.max_posts_per_author=4", "prepare.near_duplicate_similarity=1"});
  EXPECT_EQ(dropped(report, DropReason::kTemplate), 6u);
  EXPECT_EQ(dropped(report, DropReason::kAuthorCap), 5u);
  EXPECT_FALSE(kept("c4"));
  EXPECT_TRUE(kept("c5"));  // the latest stay
}

TEST_F(Prepare, CanariesArePlantedAsOftenAsTheySayAmongTheTrainingPostsOnly) {
  add_fillers(100);
  const PrepareReport without = run();
  const std::vector<std::string> posts = ids("train");
  const PrepareReport report = run({"prepare.canaries=7"});
  EXPECT_EQ(report.canary_samples, 1u + 2 + 4 + 8 + 16 + 1 + 2);
  EXPECT_EQ(report.train.posts, without.train.posts);
  EXPECT_EQ(report.tokenizer_sha256, without.tokenizer_sha256);
  std::vector<std::string> rest;
  std::map<std::string, int> copies;
  const ShardReader reader(workspace_.shards(), "train");
  const auto tokenizer = Tokenizer::load(workspace_.tokenizer());
  int64_t last_time = 0;
  for (uint64_t i = 0; i < reader.sample_count(); ++i) {
    const Sample sample = reader.sample(i);
    EXPECT_GE(sample.time_s, last_time);
    last_time = sample.time_s;
    if (sample.author == kCanaryAuthor) ++copies[tokenizer->decode({sample.tokens.data(), sample.tokens.size() - 1})];
    else rest.emplace_back(sample.post_id);
  }
  EXPECT_EQ(rest, posts);
  EXPECT_EQ(reader.token_count(), report.train.tokens);
  for (int64_t i = 0; i < 7; ++i) EXPECT_EQ(copies[canary(i).text()], canary(i).copies) << canary(i).text();
  for (const std::string& id : ids("valid")) EXPECT_FALSE(id.starts_with(kCanaryAuthor)) << id;
  EXPECT_THROW(run({"prepare.canaries=-1"}), ConfigError);
}

TEST_F(Prepare, ACountBelowZeroIsRefusedByItsName) {
  add_fillers(40);
  for (const std::string name : {"min_chars", "max_tokens", "max_posts_per_author", "memory_mb", "max_feed_posts",
                                 "max_template_posts", "canaries"}) {
    try {
      run({"prepare." + name + "=-1"});
      ADD_FAILURE() << name;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("prepare." + name), std::string::npos) << error.what();
    }
  }
}

TEST_F(Prepare, SettingsAreRefusedBeforeTheWorkBegins) {
  add_fillers(40);
  PostStore(workspace_.posts()).append_segment(posts_);
  const ControlDb control(workspace_.control_db());
  for (const char* setting : {"prepare.canaries=10001", "prepare.canaries=-1", "tokenizer.vocab_size=100"}) {
    bool began = false;
    const auto note = [&](const std::string&, uint64_t, uint64_t) { began = true; };
    EXPECT_THROW(prepare(workspace_, config({setting}), control, note), ConfigError) << setting;
    EXPECT_FALSE(began) << setting;
  }
}

TEST(Canaries, DifferInPrefixAndSecret) {
  std::set<std::string> prefixes, secrets;
  for (int64_t i = 0; i < 200; ++i) {
    prefixes.insert(canary(i).prefix);
    for (uint64_t draw = 0; draw < 20; ++draw) secrets.insert(canary_secret(i, draw));
    EXPECT_EQ(canary(i).secret.size(), 9u);
  }
  EXPECT_EQ(prefixes.size(), 200u);
  EXPECT_GE(secrets.size(), 3998u);  // 4000 of 10^8: 0.08 equal pairs in the mean
}

TEST_F(Prepare, AFailedRunLeavesTheOldShards) {
  add_fillers(40);
  run();
  const std::string manifest = read_file(workspace_.shards() / "manifest.json");
  const ControlDb control(workspace_.control_db());
  const auto stop_at_tokens = [](const std::string& stage, uint64_t, uint64_t) {
    if (stage == "tokens") throw Error("killed");
  };
  EXPECT_THROW(prepare(workspace_, config(), control, stop_at_tokens), Error);
  EXPECT_EQ(read_file(workspace_.shards() / "manifest.json"), manifest);
  EXPECT_THROW(run({"prepare.min_chars=100000"}), DataError);
  EXPECT_EQ(read_file(workspace_.shards() / "manifest.json"), manifest);
  EXPECT_EQ(run().train.posts, 38u);
}

TEST_F(Prepare, ADeletionReachesWhatAKilledRunLeft) {
  const fs::path left = workspace_.root / "shards.tmp";
  fs::create_directories(left);
  write_file_atomic(left / "texts", "the text of a post");
  PostStore posts(workspace_.posts());
  ControlDb control(workspace_.control_db());
  {
    const FileLock at_work(workspace_.root / "prepare.lock", "prepare");
    purge_deleted(workspace_, posts, control, {{"post", "1", 0, ""}});
    EXPECT_TRUE(fs::exists(left));
  }
  purge_deleted(workspace_, posts, control, {{"post", "1", 0, ""}});
  EXPECT_FALSE(fs::exists(left));
}

TEST(Dedup, EstimatesTheJaccardSimilarity) {
  const std::string text = normalize_for_duplicates(sentence(3) + sentence(4) + sentence(5));
  EXPECT_EQ(estimated_similarity(minhash_signature(text), minhash_signature(text)), 1.0);
  EXPECT_LT(estimated_similarity(minhash_signature(text), minhash_signature("0123456789abcdefghijklmnop")), 0.1);
  // 5 of 200 shingles differ on each side: similarity about 0.95; three standard errors are 0.09.
  EXPECT_NEAR(estimated_similarity(minhash_signature(text), minhash_signature(text.substr(5))), 0.96, 0.09);
}

std::vector<MinHashSignature> signatures_of(const std::vector<std::string>& texts) {
  std::vector<MinHashSignature> signatures;
  for (const std::string& text : texts) signatures.push_back(minhash_signature(normalize_for_duplicates(text)));
  return signatures;
}

TEST(Dedup, KeepsTheEarliestOfACluster) {
  const auto signatures = signatures_of({sentence(1), sentence(2), sentence(1), sentence(2), sentence(3)});
  EXPECT_EQ(near_duplicates(signatures, std::vector<uint64_t>{0, 1, 2, 3, 4}, {}),
            (std::vector<bool>{false, false, true, true, false}));
  // The order of time decides, not that of the signatures.
  EXPECT_EQ(near_duplicates(signatures, std::vector<uint64_t>{4, 3, 2, 1, 0}, {}),
            (std::vector<bool>{false, false, false, true, true}));
}

// Long enough that one changed letter leaves a similarity of 0.88 or more: 5 of some 80 shingles.
std::string long_sentence(uint64_t seed) { return sentence(seed) + " " + sentence(seed + 1'000'003); }

TEST(Dedup, FindsTextsWithOneLetterChangedAndNoOthers) {
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < 300; ++i) texts.push_back(long_sentence(i));
  for (uint64_t i = 0; i < 300; ++i) {
    std::string edited = texts[i];
    edited[edited.size() / 2] = 'q';
    texts.push_back(edited);
  }
  std::vector<uint64_t> order(texts.size());
  std::iota(order.begin(), order.end(), uint64_t{0});
  const std::vector<bool> found = near_duplicates(signatures_of(texts), order, {.threshold = 0.8});
  EXPECT_EQ(std::count(found.begin(), found.begin() + 300, true), 0);
  // The estimate has a standard error of 0.04 at 0.88: two of a hundred fall below 0.8.
  EXPECT_GE(std::count(found.begin() + 300, found.end(), true), 285);
}

TEST(Dedup, LittleMemoryAndOtherThreadsGiveTheSameResult) {
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < 500; ++i) texts.push_back(sentence(i % 200) + std::to_string(i % 3));
  std::vector<uint64_t> order(texts.size());
  std::iota(order.begin(), order.end(), uint64_t{0});
  const auto signatures = signatures_of(texts);
  const std::vector<bool> wanted = near_duplicates(signatures, order, {});
  for (const uint64_t memory : {1 << 14, 1 << 12, 0})
    EXPECT_EQ(near_duplicates(signatures, order, {.memory_bytes = memory, .folder = fs::temp_directory_path()}), wanted)
        << memory << " bytes";
}

TEST(Dedup, NormalisationIgnoresCaseSignsLinksAndMentions) {
  EXPECT_EQ(normalize_for_duplicates("Hello, World! https://t.co/x @bob"), normalize_for_duplicates("hello world"));
  EXPECT_EQ(normalize_for_duplicates("ПРИВЕТ, мир"), "приветмир");
}

TEST(Spam, NamesItsReasons) {
  EXPECT_GE(
      spam_score("WINNER!! As a valued customer you have been selected to receive a £900 prize! Call now to claim")
          .score,
      1.0);
  EXPECT_GE(spam_score("follow follow follow follow follow follow follow back now").score, 1.0);
  EXPECT_GE(spam_score("#a #b #c #d #e #f #g #h #i follow").score, 1.0);
  EXPECT_NE(spam_score("You have won a prize, click here").reasons.find("advertising words"), std::string::npos);
  EXPECT_EQ(spam_score("free chat, 18+ only").score, spam_score("free chat, adult only").score);
  EXPECT_EQ(spam_score("100% real, no fees").score, spam_score("valid real, no fees").score);
  for (const char* text :
       {"I won the race today, what a morning!", "Free as in freedom. The kernel patch is at https://example.org/p",
        "lol", "", "Can you call me when you get to the station?", "LOL THAT IS SO FUNNY I CAN NOT STOP LAUGHING"})
    EXPECT_LT(spam_score(text).score, 1.0) << text << ": " << spam_score(text).reasons;
}

// Real messages: https://archive.ics.uci.edu/dataset/228; the bounds hold what docs/formats/posts.md says.
TEST(Spam, PrecisionAndRecallOnRealShortMessages) {
  const char* data = std::getenv("STARLING_TEST_DATA");
  const fs::path path = fs::path(data ? data : "") / "safety/sms-spam.jsonl.zst";
  if (!data || !fs::exists(path)) GTEST_SKIP() << "STARLING_TEST_DATA has no safety/sms-spam.jsonl.zst";
  RowOptions options;
  options.map = FieldMap({"author=label"});
  options.derive_ids = true;
  uint64_t spam = 0, found = 0, wrong = 0;
  const auto reader = RowReader::open(path, options);
  for (Row row; reader->next(row);) {
    if (!row.problem.empty()) continue;
    const bool is_spam = row.post.author == "spam", said = spam_score(row.post.text).score >= 1;
    spam += is_spam ? 1 : 0;
    found += is_spam && said ? 1 : 0;
    wrong += !is_spam && said ? 1 : 0;
  }
  const double precision = static_cast<double>(found) / static_cast<double>(found + wrong),
               recall = static_cast<double>(found) / static_cast<double>(spam);
  RecordProperty("precision", std::to_string(precision));
  RecordProperty("recall", std::to_string(recall));
  std::printf("sms-spam: precision %.3f recall %.3f (%lu spam)\n", precision, recall, static_cast<unsigned long>(spam));
  EXPECT_GT(precision, 0.95);
  EXPECT_GT(recall, 0.6);
}

}  // namespace
}  // namespace starling
