#include "posts/post_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/random.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

class Store : public ::testing::Test {
 protected:
  fs::path folder_ = fs::temp_directory_path() / ("starling-posts-" + random_hex(8));
  void TearDown() override { fs::remove_all(folder_); }
};

Post make_post(const std::string& id, const std::string& text = "hello") {
  Post post;
  post.id = id;
  post.author = "alice";
  post.time_s = 1488369600;
  post.text = text;
  return post;
}

std::vector<std::string> ids(const PostStore& store) {
  std::vector<std::string> found;
  store.for_each([&](const Post& post) {
    found.push_back(post.id);
    return true;
  });
  return found;
}

void append_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::app | std::ios::binary);
  file << bytes;
}

TEST_F(Store, VisitsSegmentsOldestFirstAndTheJournalLast) {
  PostStore store(folder_);
  EXPECT_TRUE(store.append(make_post("live")));
  EXPECT_EQ(store.append_segment({make_post("a"), make_post("b")}), 2u);
  EXPECT_EQ(store.append_segment({make_post("c")}), 1u);
  EXPECT_EQ(ids(store), (std::vector<std::string>{"a", "b", "c", "live"}));
  EXPECT_EQ(store.size(), 4u);
}

TEST_F(Store, AKnownIdIsNotStoredAgain) {
  {
    PostStore store(folder_);
    store.append_segment({make_post("a")});
    store.append(make_post("b"));
  }
  PostStore store(folder_);
  EXPECT_TRUE(store.contains("a"));
  EXPECT_FALSE(store.append(make_post("a")));
  EXPECT_FALSE(store.append(make_post("b")));
  EXPECT_EQ(store.append_segment({make_post("a"), make_post("b"), make_post("c"), make_post("c")}), 1u);
  EXPECT_EQ(ids(store), (std::vector<std::string>{"a", "c", "b"}));
}

TEST_F(Store, OneThatOnlyPurgesLeavesTheWritingToOthers) {
  PostStore purging(folder_), writing(folder_);
  EXPECT_EQ(purging.purge({.posts = {"x"}, .authors = {}}), 0u);
  EXPECT_TRUE(writing.append(make_post("a")));
  EXPECT_THROW(purging.purge({.posts = {"a"}, .authors = {}}), IoError);
  EXPECT_EQ(writing.purge({.posts = {"a"}, .authors = {}}), 1u);
  EXPECT_THROW(purging.append(make_post("b")), IoError) << "who appends keeps the lock";
  EXPECT_TRUE(writing.append(make_post("c")));
  EXPECT_EQ(ids(purging), std::vector<std::string>{"c"});
}

TEST_F(Store, AHalfWrittenLastJournalLineIsCutAndTheRestKept) {
  {
    PostStore store(folder_);
    store.append(make_post("a"));
  }
  append_bytes(folder_ / "live.jsonl", "{\"id\":\"torn\",\"te");
  PostStore store(folder_);
  EXPECT_EQ(ids(store), std::vector<std::string>{"a"});
  EXPECT_TRUE(store.append(make_post("b")));
  EXPECT_EQ(ids(store), (std::vector<std::string>{"a", "b"}));
}

TEST_F(Store, ALostIdFileIsMadeAgainFromTheSegment) {
  {
    PostStore store(folder_);
    store.append_segment({make_post("a"), make_post("b")});
  }
  for (const std::string& damage : {std::string(), std::string("short"), std::string(64, 'x')}) {
    write_file_atomic(folder_ / "000001.ids", damage);
    PostStore store(folder_);
    EXPECT_TRUE(store.contains("b")) << damage;
    EXPECT_EQ(store.append_segment({make_post("b")}), 0u) << damage;
  }
}

TEST_F(Store, WhatAKillLeftHalfWrittenGoes) {
  PostStore(folder_).append_segment({make_post("a")});
  append_bytes(folder_ / "000002.jsonl.zst.tmp", "posts of a segment");
  append_bytes(folder_ / "live.jsonl.tmp", "posts of the journal");
  PostStore(folder_).purge({});
  EXPECT_FALSE(fs::exists(folder_ / "000002.jsonl.zst.tmp"));
  EXPECT_FALSE(fs::exists(folder_ / "live.jsonl.tmp"));
}

TEST_F(Store, TheLockIsHeldWhileWorkGoesOnAndGoesAfterIt) {
  PostStore store(folder_);
  store.with_lock([&] {
    EXPECT_EQ(store.purge({.posts = {"x"}, .authors = {}}), 0u);
    EXPECT_THROW(PostStore(folder_).append(make_post("a")), IoError);
  });
  EXPECT_TRUE(PostStore(folder_).append(make_post("a")));
  store.with_lock([&] { EXPECT_TRUE(store.append(make_post("b"))); });
  EXPECT_THROW(PostStore(folder_).append(make_post("c")), IoError);
}

TEST_F(Store, PurgeTakesPostsOutOfEveryFile) {
  PostStore store(folder_);
  store.append_segment({make_post("a", "secret one"), make_post("b")});
  store.append_segment({make_post("c")});
  store.append(make_post("d", "secret two"));
  store.append(make_post("e"));
  const std::string untouched = read_file(folder_ / "000002.jsonl.zst");
  EXPECT_EQ(store.purge({.posts = {"a", "d"}, .authors = {}}), 2u);
  EXPECT_EQ(ids(store), (std::vector<std::string>{"b", "c", "e"}));
  EXPECT_EQ(read_file(folder_ / "live.jsonl").find("secret"), std::string::npos);
  EXPECT_EQ(read_file(folder_ / "000002.jsonl.zst"), untouched);
  EXPECT_TRUE(store.append(make_post("f")));
  EXPECT_EQ(PostStore(folder_).size(), 4u);
}

TEST_F(Store, PurgeFindsAuthorsAndIdsThatJsonWritesOtherwise) {
  PostStore store(folder_);
  const auto by = [](const std::string& id, const std::string& author) {
    Post post = make_post(id);
    post.author = author;
    return post;
  };
  store.append_segment({by("a", "ann"), by("b", "bob \"b\"")});
  store.append_segment({by("c", "cat")});
  store.append(by("d", "bob \"b\""));
  store.append(by("e\\e", "ann"));
  EXPECT_EQ(store.purge({.posts = {"e\\e"}, .authors = {"bob \"b\""}}), 3u);
  EXPECT_EQ(ids(store), (std::vector<std::string>{"a", "c"}));
  fs::remove(folder_ / "000001.ids");
  EXPECT_EQ(store.purge({.posts = {}, .authors = {"ann"}}), 1u);
  EXPECT_EQ(ids(PostStore(folder_)), std::vector<std::string>{"c"});
}

TEST_F(Store, AJournalThatHasGrownLargeBecomesASegment) {
  const std::string megabyte(1 << 20, 'x');
  std::string journal;
  size_t posts = 0;
  {
    PostStore store(folder_);
    store.append(make_post("first"));
    do {
      ++posts;
      journal = read_file(folder_ / "live.jsonl");
      EXPECT_TRUE(store.append(make_post(std::to_string(posts), megabyte)));
    } while (fs::file_size(folder_ / "live.jsonl") > journal.size() && posts < 100);
    EXPECT_LT(posts, 100u);
    EXPECT_EQ(ids(store).size(), posts + 1);
    EXPECT_FALSE(store.append(make_post("3")));
  }
  write_file_atomic(folder_ / "live.jsonl", journal);  // a kill between the two steps: the posts are in both files
  EXPECT_EQ(ids(PostStore(folder_)).size(), posts);
  PostStore store(folder_);
  EXPECT_TRUE(store.append(make_post("next")));
  EXPECT_EQ(store.purge({.posts = {"3"}, .authors = {}}), 1u);
  EXPECT_EQ(ids(store).size(), posts);
}

TEST_F(Store, AJournalStaysWhereASegmentHoldsSomeOfItsPosts) {
  PostStore(folder_ / "other").append_segment({make_post("a")});
  {
    PostStore store(folder_);
    store.append(make_post("a"));
    store.append(make_post("b"));
  }
  fs::copy_file(folder_ / "other" / "000001.jsonl.zst", folder_ / "000001.jsonl.zst");
  EXPECT_EQ(ids(PostStore(folder_)), (std::vector<std::string>{"a", "a", "b"}));
  PostStore store(folder_);
  store.append(make_post("c"));
  EXPECT_EQ(ids(store), (std::vector<std::string>{"a", "a", "b", "c"}));
}

TEST_F(Store, APurgeThatCannotWriteLeavesTheJournalInUse) {
  PostStore store(folder_);
  store.append(make_post("a"));
  fs::create_directories(folder_ / "live.jsonl.tmp" / "x");  // in the way of the new journal
  const DeletedIds is_a{.posts = {"a"}, .authors = {}};
  EXPECT_THROW(store.purge(is_a), IoError);
  EXPECT_TRUE(store.append(make_post("b")));
  fs::remove_all(folder_ / "live.jsonl.tmp");
  EXPECT_EQ(store.purge(is_a), 1u);
  EXPECT_EQ(ids(store), std::vector<std::string>{"b"});
}

TEST_F(Store, ANewSegmentNeverTakesTheNameOfAnother) {
  for (const char* name : {"999999.jsonl.zst", "copied.jsonl.zst"}) {
    fs::remove_all(folder_);
    PostStore store(folder_);
    store.append_segment({make_post("a")});
    fs::rename(folder_ / "000001.jsonl.zst", folder_ / name);
    store.append_segment({make_post("b")});
    store.append_segment({make_post("c")});
    EXPECT_EQ(ids(store).size(), 3u) << name;
  }
}

TEST_F(Store, ASecondWriterIsToldWhoHoldsTheLock) {
  PostStore first(folder_), second(folder_);
  first.append(make_post("a"));
  EXPECT_THROW(second.append(make_post("b")), IoError);
  EXPECT_EQ(ids(second), std::vector<std::string>{"a"});
}

TEST_F(Store, ADamagedSegmentIsReportedAndNeverCrashes) {
  {
    PostStore store(folder_);
    std::vector<Post> posts;
    for (int i = 0; i < 50; ++i) posts.push_back(make_post(std::to_string(i), "post number " + std::to_string(i)));
    store.append_segment(posts);
  }
  const fs::path path = folder_ / "000001.jsonl.zst";
  const std::string whole = read_file(path);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = whole;
    if (round < 100) damaged.resize(random_u64(1, 0, round) % whole.size());
    else damaged[random_u64(2, 0, round) % whole.size()] ^= static_cast<char>(1 << (round % 8));
    write_file_atomic(path, damaged);
    PostStore store(folder_);
    uint64_t seen = 0;
    try {
      store.for_each([&](const Post&) { return ++seen > 0; });
      EXPECT_EQ(seen, 50u) << round;  // an unused bit of the frame header may flip without effect
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find("000001.jsonl.zst"), std::string::npos);
    }
  }
}

TEST_F(Store, ADamagedJournalLineNamesFileAndLine) {
  {
    PostStore store(folder_);
    store.append(make_post("a"));
  }
  append_bytes(folder_ / "live.jsonl", "nonsense\n");
  try {
    ids(PostStore(folder_));
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("live.jsonl:2"), std::string::npos) << error.what();
  }
}

// A child appends posts and says so for each; killed at any moment, every post it spoke of is there afterwards.
TEST_F(Store, AfterKill9EveryAcknowledgedPostIsThere) {
  for (int round = 0; round < 5; ++round) {
    int channel[2];
    ASSERT_EQ(::pipe(channel), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      PostStore store(folder_);
      for (int i = 0;; ++i) {
        const std::string id = std::to_string(round) + "-" + std::to_string(i);
        if (i % 7 == 0) store.append_segment({make_post(id)});
        else store.append(make_post(id));
        if (::write(channel[1], (id + "\n").data(), id.size() + 1) < 0) ::_exit(1);
      }
    }
    ::close(channel[1]);
    std::string acknowledged;
    char block[256];
    const size_t enough = 100 + random_u64(11, 0, static_cast<uint64_t>(round)) % 400;
    while (acknowledged.size() < enough) {
      const ssize_t count = ::read(channel[0], block, sizeof block);
      ASSERT_GT(count, 0);
      acknowledged.append(block, static_cast<size_t>(count));
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(channel[0]);
    const PostStore store(folder_);
    const std::vector<std::string> found = ids(store);
    std::istringstream lines(acknowledged.substr(0, acknowledged.rfind('\n')));
    for (std::string id; std::getline(lines, id);) {
      EXPECT_NE(std::find(found.begin(), found.end(), id), found.end()) << id;
      EXPECT_TRUE(store.contains(id)) << id;
    }
    EXPECT_EQ(std::set<std::string>(found.begin(), found.end()).size(), found.size()) << "a post is there twice";
  }
}

}  // namespace
}  // namespace starling
