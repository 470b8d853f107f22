#include <gtest/gtest.h>
#include <signal.h>
#include <soci/soci.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "store/audit_log.h"
#include "store/bury.h"
#include "store/control_db.h"
#include "store/key_changes.h"
#include "store/opt_out.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

class Store : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("starling_store_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    path_ = folder_ / "control.db";
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_, path_;
};

TEST_F(Store, ATombstoneOfAPostOrItsAuthorDeletesThePost) {
  ControlDb db(path_);
  EXPECT_FALSE(db.is_deleted("1", "alice"));
  db.add_tombstone({"post", "1", 100, "user request"});
  db.add_tombstone({"author", "bob", 101, ""});
  EXPECT_TRUE(db.is_deleted("1", "alice"));
  EXPECT_TRUE(db.is_deleted("2", "bob"));
  EXPECT_FALSE(db.is_deleted("2", "alice"));
  EXPECT_FALSE(db.is_deleted("bob", ""));  // an author's id is not a post's id
}

TEST_F(Store, ATombstoneIsAddedOnceAndTheVersionGrowsOnlyThen) {
  ControlDb db(path_);
  const uint64_t before = db.tombstone_version();
  db.add_tombstone({"post", "1", 100, "first"});
  const uint64_t after = db.tombstone_version();
  EXPECT_GT(after, before);
  db.add_tombstone({"post", "1", 200, "second"});
  EXPECT_EQ(db.tombstone_version(), after);
  ASSERT_EQ(db.tombstones().size(), 1u);
  EXPECT_EQ(db.tombstones()[0].reason, "first");
  EXPECT_EQ(db.tombstones()[0].time_s, 100);
}

TEST_F(Store, ATombstoneIsUnpurgedUntilItsRowsAreGone) {
  ControlDb db(path_);
  db.add_tombstone({"post", "1", 1, ""});
  db.add_tombstone({"author", "1", 1, ""});
  db.set_purged({{"post", "1", 0, ""}});
  ASSERT_EQ(db.unpurged().size(), 1u);
  EXPECT_EQ(db.unpurged()[0].kind, "author");
  EXPECT_TRUE(db.is_deleted("1", ""));
}

// Nobody knows which of its deletions a kill cut short.
TEST_F(Store, TombstonesOfTheSecondSchemaAreUnpurged) {
  {
    ControlDb db(path_);
    db.add_tombstone({"post", "1", 1, ""});
    db.set_purged(db.tombstones());
    db.transaction([](soci::session& sql) {
      sql << "drop index unpurged";
      sql << "alter table tombstones drop column purged";
      sql << "pragma user_version = 2";
    });
  }
  EXPECT_EQ(ControlDb(path_).unpurged().size(), 1u);
}

TEST_F(Store, TimesBeyond2038Survive) {
  ControlDb db(path_);
  db.add_tombstone({"post", "1", 5'000'000'000, ""});
  EXPECT_EQ(db.tombstones()[0].time_s, 5'000'000'000);
}

TEST_F(Store, LookUpsSeeWhatAnotherConnectionWrote) {
  ControlDb one(path_), two(path_);
  EXPECT_FALSE(two.is_deleted("1", ""));
  one.add_tombstone({"post", "1", 1, ""});
  EXPECT_TRUE(two.is_deleted("1", ""));
  one.add_opt_out("alice", "ads");
  EXPECT_TRUE(two.has_opted_out("alice", "ads"));
  EXPECT_FALSE(two.has_opted_out("alice", "training"));
  two.remove_opt_out("alice", "ads");
  EXPECT_FALSE(one.has_opted_out("alice", "ads"));
}

TEST_F(Store, AKeyResolvesUntilItIsRevokedAndIsNotStoredInClear) {
  ControlDb db(path_);
  const std::string key = db.create_key("page", "admin");
  ApiKey found;
  ASSERT_TRUE(db.find_key(key, found));
  EXPECT_EQ(found.name, "page");
  EXPECT_EQ(found.role, "admin");
  EXPECT_FALSE(db.find_key(key + "0", found));
  EXPECT_THROW(db.create_key("page", "read"), ConfigError);
  EXPECT_THROW(db.create_key("other", "root"), ConfigError);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_EQ(read_file(entry.path()).find(key), std::string::npos) << entry.path();
  }
  EXPECT_TRUE(db.revoke_key("page"));
  EXPECT_FALSE(db.revoke_key("page"));
  EXPECT_FALSE(db.find_key(key, found));
}

TEST_F(Store, AKeyKeepsItsOwnLimitsAndOneWithoutHasTheServers) {
  ControlDb db(path_);
  const std::string own =
      db.create_key("own", "search", {.requests_per_second = 0.5, .tokens_per_day = int64_t{1} << 40});
  const std::string plain = db.create_key("plain", "search");
  ApiKey found;
  ASSERT_TRUE(db.find_key(own, found));
  EXPECT_EQ(found.limits.requests_per_second, 0.5);
  EXPECT_EQ(found.limits.tokens_per_day, int64_t{1} << 40);
  ASSERT_TRUE(db.find_key(plain, found));
  EXPECT_LT(found.limits.requests_per_second, 0);
  EXPECT_LT(found.limits.tokens_per_day, 0);
  EXPECT_EQ(db.keys().at(0).limits.tokens_per_day, int64_t{1} << 40);
}

TEST_F(Store, AKeysLimitsAreChangedOneByOneAndAnotherProcessSeesIt) {
  ControlDb db(path_), server(path_);
  const std::string key = db.create_key("trial", "search", {.requests_per_second = 2, .tokens_per_day = 100});
  ApiKey seen;
  ASSERT_TRUE(server.find_key(key, seen));
  const auto changed = db.set_key_limits("trial", {.requests_per_second = {}, .tokens_per_day = 500});
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->role, "search");
  ASSERT_TRUE(server.find_key(key, seen)) << "the key itself is the same";
  EXPECT_EQ(seen.limits.requests_per_second, 2) << "what was not given stays";
  EXPECT_EQ(seen.limits.tokens_per_day, 500);
  db.set_key_limits("trial", {.requests_per_second = -1, .tokens_per_day = {}});
  ASSERT_TRUE(server.find_key(key, seen));
  EXPECT_LT(seen.limits.requests_per_second, 0) << "the server's again";
  EXPECT_FALSE(db.set_key_limits("nobody", {.requests_per_second = 1, .tokens_per_day = {}}));
}

TEST_F(Store, EveryChangeOfAKeyIsAudited) {
  ControlDb db(path_);
  const std::string key = grant_key(db, {.name = "trial", .role = "read"});
  ASSERT_TRUE(change_key(db, "trial", {.requests_per_second = {}, .tokens_per_day = 7}));
  EXPECT_FALSE(change_key(db, "nobody", {.requests_per_second = {}, .tokens_per_day = 7}));
  EXPECT_TRUE(withdraw_key(db, "trial"));
  EXPECT_FALSE(withdraw_key(db, "trial"));
  EXPECT_THROW(grant_key(db, {.name = "trial", .role = "root"}), ConfigError);
  const std::vector<AuditRecord> records = AuditLog(db).list(0, 10);
  ASSERT_EQ(records.size(), 3u) << "what changed nothing is not told";
  EXPECT_EQ(records[0].kind, "key.created");
  EXPECT_EQ(records[1].kind, "key.changed");
  EXPECT_EQ(records[1].body, R"({"name":"trial","requests_per_second":null,"role":"read","tokens_per_day":7})");
  EXPECT_EQ(records[2].kind, "key.revoked");
  for (const AuditRecord& record : records) EXPECT_EQ(record.body.find(key), std::string::npos);
}

TEST_F(Store, ADeletionIsObeyedWhateverBytesItsReasonHas) {
  ControlDb db(path_);
  bury(db, "post", "1", "caf\xe9");
  EXPECT_TRUE(db.is_deleted("1", ""));
  EXPECT_EQ(AuditLog(db).head()->body, "{\"id\":\"1\",\"reason\":\"caf\xef\xbf\xbd\"}");
}

TEST_F(Store, ADeletionAskedForTwiceAtTheSameMomentIsAuditedOnce) {
  ControlDb db(path_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&db] {
      for (int i = 0; i < 25; ++i) bury(db, "post", std::to_string(i), "");
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(AuditLog(db).list(0, 1000).size(), 25u);
}

TEST_F(Store, ADatabaseOfTheFirstSchemaKeepsItsKeys) {
  std::string key;
  {
    ControlDb db(path_);
    key = db.create_key("old", "admin");
    db.transaction([](soci::session& sql) {
      sql << "drop index unpurged";
      sql << "alter table tombstones drop column purged";
      sql << "alter table api_keys drop column requests_per_second";
      sql << "alter table api_keys drop column tokens_per_day";
      sql << "pragma user_version = 1";
    });
  }
  ControlDb db(path_);
  ApiKey found;
  ASSERT_TRUE(db.find_key(key, found));
  EXPECT_EQ(found.role, "admin");
  EXPECT_LT(found.limits.tokens_per_day, 0);
  db.create_key("new", "read", {.tokens_per_day = 5});
  EXPECT_EQ(ControlDb(path_).keys().at(0).limits.tokens_per_day, 5);
}

TEST_F(Store, ATransactionThatThrowsLeavesNothing) {
  ControlDb db(path_);
  EXPECT_THROW(db.transaction([&](soci::session&) {
    db.add_tombstone({"post", "1", 1, ""});
    throw DataError("no");
  }),
               DataError);
  EXPECT_FALSE(db.is_deleted("1", ""));
  db.add_tombstone({"post", "2", 1, ""});  // and the next one works
  EXPECT_TRUE(db.is_deleted("2", ""));
}

TEST_F(Store, ThreadsTakeTurns) {
  ControlDb db(path_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&db, t] {
      for (int i = 0; i < 25; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        db.add_tombstone({"post", id, 1, ""});
        EXPECT_TRUE(db.is_deleted(id, ""));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(db.tombstones().size(), 100u);
}

TEST_F(Store, EveryAcknowledgedTombstoneSurvivesKill9) {
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      ControlDb db(path_);
      AuditLog log(db);
      for (uint32_t i = 0;; ++i) {
        const std::string id = std::to_string(round) + "-" + std::to_string(i);
        db.add_tombstone({"post", id, 1, ""});
        log.append("post.deleted", id);
        if (write(pipe_ends[1], &i, sizeof i) != sizeof i) _exit(1);
      }
    }
    close(pipe_ends[1]);
    uint32_t acknowledged = 0;
    const uint32_t wanted = 1 + random_u64(7, 0, round) % 40;
    while (acknowledged < wanted && read(pipe_ends[0], &acknowledged, sizeof acknowledged) > 0) {
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(pipe_ends[0], &acknowledged, sizeof acknowledged) > 0) {
    }
    close(pipe_ends[0]);
    ControlDb db(path_);
    for (uint32_t i = 0; i <= acknowledged; ++i)
      EXPECT_TRUE(db.is_deleted(std::to_string(round) + "-" + std::to_string(i), ""));
    EXPECT_FALSE(AuditLog(db).verify().has_value());
  }
}

TEST_F(Store, ADamagedFileIsAClearError) {
  {
    ControlDb db(path_);
    for (int i = 0; i < 200; ++i) db.add_tombstone({"post", std::to_string(i), 1, "because"});
  }
  const std::string whole = read_file(path_);
  for (const size_t size : {size_t{10}, size_t{100}, size_t{4096}, whole.size() / 2}) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(path_, std::ios::binary) << whole.substr(0, size);
    try {
      ControlDb db(path_);
      ADD_FAILURE() << "a file cut to " << size << " bytes was accepted";
    } catch (const IoError& error) {
      EXPECT_NE(std::string(error.what()).find("control.db"), std::string::npos) << error.what();
    }
  }
}

TEST_F(Store, BitFlipsNeverCrash) {
  {
    ControlDb db(path_);
    for (int i = 0; i < 50; ++i) db.add_tombstone({"post", std::to_string(i), 1, "because"});
  }
  const std::string whole = read_file(path_);
  for (int flip = 0; flip < 60; ++flip) {
    std::string bytes = whole;
    const uint64_t bit = random_u64(3, 1, flip) % (bytes.size() * 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      ControlDb db(path_);
      db.is_deleted("1", "");
      EXPECT_LE(db.tombstones().size(), 50u);
    } catch (const IoError&) {  // the expected outcome where the flip is seen
    }
  }
}

TEST_F(Store, AMissingFolderIsAClearError) { EXPECT_THROW(ControlDb(folder_ / "missing" / "control.db"), IoError); }

class Audit : public Store {
 protected:
  void SetUp() override {
    Store::SetUp();
    db_ = std::make_unique<ControlDb>(path_);
    log_ = std::make_unique<AuditLog>(*db_);
    for (int i = 1; i <= 5; ++i)
      log_->append(i % 2 ? "ad.decision" : "post.deleted", "{\"n\":" + std::to_string(i) + "}");
  }
  void tamper(const std::string& statement) {
    db_->transaction([&](soci::session& sql) { sql << statement; });
  }
  std::unique_ptr<ControlDb> db_;
  std::unique_ptr<AuditLog> log_;
};

TEST_F(Audit, AWholeChainVerifiesAndIsListedInOrder) {
  EXPECT_FALSE(log_->verify().has_value());
  const auto all = log_->list(0, 100);
  ASSERT_EQ(all.size(), 5u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(all[i].sequence, i + 1);
  EXPECT_EQ(log_->list(3, 100).size(), 2u);
  EXPECT_EQ(log_->list(0, 2).size(), 2u);
  EXPECT_EQ(log_->list(0, 100, "ad.").size(), 3u);
  EXPECT_EQ(log_->head()->hash, all[4].hash);
}

TEST_F(Audit, EveryTamperingNamesTheFirstBrokenRecord) {
  const struct {
    const char* statement;
    int64_t broken;
  } cases[] = {
      {"update audit set body = '{}' where sequence = 3", 3},
      {"update audit set kind = 'x' where sequence = 2", 2},
      {"update audit set time_s = time_s + 1 where sequence = 4", 4},
      {"update audit set hash = 'x' where sequence = 1", 1},
      {"delete from audit where sequence = 2", 2},
      {"delete from audit where sequence = 1", 1},
      {"update audit set sequence = sequence * -1 where sequence in (2)", 2},
  };
  for (const auto& c : cases) {
    SetUp();
    tamper(c.statement);
    const auto broken = log_->verify();
    ASSERT_TRUE(broken.has_value()) << c.statement;
    EXPECT_EQ(broken->sequence, c.broken) << c.statement;
  }
}

TEST_F(Audit, AnAnchorNoticesACutTailAndARewrittenLog) {
  const AuditRecord anchor = *log_->head();
  log_->append("ad.event", "{}");
  EXPECT_FALSE(log_->verify(anchor).has_value());
  tamper("delete from audit where sequence > 3");
  EXPECT_FALSE(log_->verify().has_value());  // a shorter chain is whole by itself
  EXPECT_TRUE(log_->verify(anchor).has_value());
  log_->append("ad.event", "{}");
  log_->append("ad.event", "{}");
  const auto broken = log_->verify(anchor);
  ASSERT_TRUE(broken.has_value());
  EXPECT_EQ(broken->sequence, 5);
}

TEST_F(Audit, ARolledBackTransactionTakesItsRecordAlong) {
  EXPECT_THROW(db_->transaction([&](soci::session& sql) {
    AuditLog::append_in(sql, "ad.decision", "{}");
    throw DataError("no");
  }),
               DataError);
  EXPECT_EQ(log_->list(0, 100).size(), 5u);
  EXPECT_FALSE(log_->verify().has_value());
}

TEST_F(Store, AnOptOutIsWrittenDownOnceWithItsAuditRecord) {
  ControlDb db(path_);
  EXPECT_TRUE(set_opt_out(db, "alice", "training", true));
  EXPECT_FALSE(set_opt_out(db, "alice", "training", true));
  EXPECT_TRUE(db.has_opted_out("alice", "training"));
  EXPECT_TRUE(set_opt_out(db, "alice", "training", false));
  EXPECT_FALSE(db.has_opted_out("alice", "training"));
  EXPECT_THROW(set_opt_out(db, "", "training", true), ConfigError);
  EXPECT_THROW(set_opt_out(db, "alice", "sales", true), ConfigError);
  std::vector<std::string> kinds;
  for (const AuditRecord& record : AuditLog(db).list(0, 10)) kinds.push_back(record.kind);
  EXPECT_EQ(kinds, (std::vector<std::string>{"author.opted_out", "author.opted_in"}));
}

}  // namespace
}  // namespace starling
