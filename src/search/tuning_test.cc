#include "search/tuning.h"

#include <fmt/format.h>

#include <functional>
#include <numeric>

#include "core/file.h"
#include "infer/test_model.h"
#include "posts/ingest.h"
#include "search/index_sync.h"
#include "search/search_fixture.h"
#include "search/vector_index.h"
#include "train/contrastive.h"
#include "train/lineage.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

// With pooled states of a language model no held-out query of the demo found its thread. Tuned rows must, through the
// engine that search uses (a model without blocks), bring texts together that have no word in common.
TEST(TunedEmbedding, TheEngineFindsRelatedTextsWithoutASharedWord) {
  const TestModel model;
  const fs::path tuned = model.folder() / "tuned";
  const char *fox = "quick brown fox", *user = "said user", *dog = "lazy dog", *over = "jumps over";
  std::vector<RelatedTexts> pairs;
  for (uint64_t i = 0; i < 40; ++i) {
    pairs.push_back({fox, user, 1});
    pairs.push_back({dog, over, 2});
  }
  tune_embeddings(model.folder(), tuned, pairs, {.seconds = 20, .epochs = 30, .batch_pairs = 8});
  const std::unique_ptr<Engine> engine = Engine::load(tuned);
  const auto cosine = [&](const char* a, const char* b) {
    const std::vector<float> x = engine->embed(embedded_text(a)), y = engine->embed(embedded_text(b));
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
  };
  EXPECT_GT(cosine(fox, user), cosine(fox, over) + 0.3);
  EXPECT_GT(cosine(dog, over), cosine(dog, user) + 0.3);
  EXPECT_GT(cosine("fox", "user"), cosine("fox", "over"));
}

// What is tuned and measured on the posts' own threads.
class TuningTest : public SearchFixture {
 protected:
  TuningTest() {
    config_ = Config([] {
      std::vector<ConfigKey> keys = search_config_keys();
      for (const ConfigKey& key : posts_config_keys()) keys.push_back(key);
      return keys;
    }());
  }
  // Posts with replies; `time_s` of the i-th.
  void store_threads(const std::function<int64_t(int)>& time_s) {
    std::vector<Post> posts;
    for (int i = 0; i < 100; ++i) {
      Post post =
          make_post(fmt::format("{:03}", i), "ann", fmt::format("quick brown fox {} jumps over lazy dog {}", i, i / 5));
      post.time_s = time_s(i);
      if (i % 5 != 0) post.reply_to = fmt::format("{:03}", i / 5 * 5);
      posts.push_back(post);
    }
    store(posts);
  }
};

TEST_F(TuningTest, PostsWithoutATimeGivePairsAndAreHeldOutToo) {
  store_threads([](int) { return 0; });
  build_index(workspace_, config_, *posts_, *control_, nullptr);
  const TestModel model;
  fs::copy(model.folder(), workspace_.model("own"));
  const TuneReport report = tune_embedder(workspace_, config_, *posts_, *control_, "own", 1);
  EXPECT_GE(report.pairs, 64);
  EXPECT_GT(evaluate_held_out(workspace_, config_, *posts_, *control_, nullptr).queries, 0);
  const fs::path seen = workspace_.model(report.model) / "seen.bin";
  EXPECT_TRUE(SeenIds::contains(seen, "post", "000"));
  EXPECT_FALSE(SeenIds::contains(seen, "post", "099"));
}

TEST_F(TuningTest, TheVectorsWeightIsWrittenUnderTheIndexsLock) {
  store_threads([](int i) { return 1500000000 + i; });
  build_index(workspace_, config_, *posts_, *control_, &letters_);
  {
    const std::unique_ptr<FileLock> other = lock_index(workspace_.index());
    EXPECT_THROW(choose_vector_weight(workspace_, config_, *posts_, *control_, letters_), IoError);
  }
  const double weight = choose_vector_weight(workspace_, config_, *posts_, *control_, letters_);
  EXPECT_EQ(read_vectors_header(workspace_.index())->vector_weight, weight);
}

}  // namespace
}  // namespace starling
