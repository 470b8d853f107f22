#include "train/data_audit.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "posts/shards.h"
#include "store/control_db.h"
#include "train/lineage.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

// Posts 0 to 4 in shards of two samples, 5 in validation; models/own saw 0, 1 and 3, and the deleted post "gone".
class DataAudit : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(workspace_.shards());
    fs::create_directories(workspace_.model("own"));
    fs::create_directories(workspace_.run("own") / "checkpoints/step-00000001");
    ShardWriter writer(workspace_.shards(),
                       {.vocab_size = 10, .tokenizer_sha256 = std::string(64, 'a'), .max_shard_tokens = 6});
    for (int i = 0; i < 6; ++i) {
      const std::string id = "p" + std::to_string(i), author = "a" + std::to_string(i % 2);
      writer.add(i < 5 ? "train" : "valid", {{1, 2, 9}, 2, 100 + i, id, author});
    }
    writer.finish();
    SeenIds seen;
    for (const char* id : {"p0", "p1", "p3", "gone"}) seen.add("post", id);
    seen.add("author", "a0");
    seen.save(workspace_.model("own") / "seen.bin");
    SeenIds().save(workspace_.run("own") / "checkpoints/step-00000001/seen.bin");
  }
  void TearDown() override { fs::remove_all(workspace_.root); }

  const Workspace workspace_{fs::temp_directory_path() / ("starling-lineage-" + random_hex(8))};
};

TEST_F(DataAudit, FromAPostToItsSampleAndTheCheckpoints) {
  const std::vector<SamplePlace> places = samples_of(workspace_, "post", "p3");
  ASSERT_EQ(places.size(), 1u);
  EXPECT_EQ(places[0].split, "train");
  EXPECT_EQ(places[0].index, 3u);
  EXPECT_EQ(places[0].shard, "train-00001");
  EXPECT_EQ(places[0].tokens, 3u);
  EXPECT_EQ(checkpoints_that_saw(workspace_, "post", "p3"), std::vector<std::string>{"models/own"});
  EXPECT_TRUE(checkpoints_that_saw(workspace_, "post", "p2").empty());
  EXPECT_TRUE(samples_of(workspace_, "post", "other").empty());
}

TEST_F(DataAudit, FromAnAuthorToEverySample) {
  std::vector<std::string> ids;
  for (const SamplePlace& place : samples_of(workspace_, "author", "a1"))
    ids.push_back(place.split + " " + place.post_id);
  EXPECT_EQ(ids, (std::vector<std::string>{"train p1", "train p3", "valid p5"}));
}

TEST_F(DataAudit, FromACheckpointToWhatItWasTrainedOn) {
  ControlDb control(workspace_.control_db());
  control.add_tombstone({"post", "gone", 0, "test"});
  control.add_tombstone({"post", "never seen", 0, "test"});
  control.add_tombstone({"author", "a0", 0, "test"});
  std::vector<std::string> ids;
  const TrainingData data =
      training_data_of(workspace_, control, "models/own", [&](std::string_view id) { ids.emplace_back(id); });
  EXPECT_EQ(ids, (std::vector<std::string>{"p0", "p1", "p3"}));
  EXPECT_EQ(data.seen_ids, 5u);
  EXPECT_EQ(data.train_samples, 5u);
  EXPECT_EQ(data.train_samples_seen, 3u);
  EXPECT_EQ(data.valid_samples_seen, 0u);
  EXPECT_EQ(data.tokens_seen, 9u);
  EXPECT_EQ(data.first_time_s, 100);
  EXPECT_EQ(data.last_time_s, 103);
  EXPECT_EQ(data.deleted_posts_seen, 1u);
  EXPECT_EQ(data.deleted_authors_seen, 1u);
  EXPECT_THROW(training_data_of(workspace_, control, "models/other", {}), IoError);
}

TEST_F(DataAudit, ADamagedListIsAnErrorNotANo) {
  const fs::path path = workspace_.model("own") / "seen.bin";
  const std::string whole = read_file(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    write_file_atomic(path, whole.substr(0, size));
    EXPECT_THROW(checkpoints_that_saw(workspace_, "post", "p0"), DataError) << size;
  }
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    write_file_atomic(path, damaged);
    EXPECT_THROW(checkpoints_that_saw(workspace_, "post", "p0"), DataError) << bit;
  }
}

}  // namespace
}  // namespace starling
