// The measures against values computed by hand, the readers against good and bad files, and the stages against the
// published BM25 figures where the data is there.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/file.h"
#include "core/progress.h"
#include "core/random.h"
#include "core/stop.h"
#include "search/search_evaluation.h"
#include "search/trec_files.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

// A temporary folder, removed at the end of the test.
struct Scratch {
  explicit Scratch(const std::string& name)
      : path(fs::temp_directory_path() / ("starling-trec-" + name + "-" + std::to_string(::getpid()))) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Scratch() { fs::remove_all(path); }
  fs::path operator/(const std::string& name) const { return path / name; }
  fs::path path;
};

TEST(TrecEval, MeasuresAQueryAsComputedByHand) {
  // Ranked a b c d; relevant a (grade 2), d (grade 1), and z (grade 1) which was not found: R = 3.
  const Measures m = measure_query({{"a", 4}, {"b", 3}, {"c", 2}, {"d", 1}}, {{"a", 2}, {"d", 1}, {"z", 1}, {"b", 0}});
  EXPECT_NEAR(m.map, (1.0 / 1 + 2.0 / 4) / 3, 1e-12);
  EXPECT_NEAR(m.p_30, 2.0 / 30, 1e-12);
  EXPECT_NEAR(m.mrr, 1.0, 1e-12);
  const double dcg = 2 / std::log2(2.0) + 1 / std::log2(5.0);
  const double ideal = 2 / std::log2(2.0) + 1 / std::log2(3.0) + 1 / std::log2(4.0);
  EXPECT_NEAR(m.ndcg_10, dcg / ideal, 1e-12);
}

TEST(TrecEval, BreaksTiesByDescendingDocumentIdAndComparesScoresAsFloat) {
  const std::map<std::string, int> grades = {{"b", 1}};
  EXPECT_DOUBLE_EQ(measure_query({{"a", 1}, {"b", 1}, {"c", 1}}, grades).mrr, 0.5);  // c b a
  EXPECT_DOUBLE_EQ(measure_query({{"a", 1 + 1e-12}, {"b", 1}}, grades).mrr, 1.0);    // equal as f32: b first
  EXPECT_DOUBLE_EQ(measure_query({{"a", 1 + 1e-3}, {"b", 1}}, grades).mrr, 0.5);
}

TEST(TrecEval, NdcgLooksAtTenAndPrecisionAtThirty) {
  std::vector<ScoredDocument> documents;
  for (int i = 0; i < 40; ++i) documents.push_back({"d" + std::to_string(100 + i), 100.0 - i});
  const Measures eleventh = measure_query(documents, {{"d110", 1}});
  EXPECT_EQ(eleventh.ndcg_10, 0);
  EXPECT_NEAR(eleventh.p_30, 1.0 / 30, 1e-12);
  const Measures thirty_first = measure_query(documents, {{"d130", 1}});
  EXPECT_EQ(thirty_first.p_30, 0);
  EXPECT_NEAR(thirty_first.map, 1.0 / 31, 1e-12);
}

TEST(TrecEval, AveragesOverQueriesWithARelevantDocumentAndCountsMissingOnesAsZero) {
  const Qrels qrels = {{"1", {{"a", 1}}}, {"2", {{"b", 1}}}, {"3", {{"c", 0}}}};
  int64_t queries = 0;
  const Measures m = measure_run({{"1", {{"a", 1}}}, {"3", {{"c", 1}}}}, qrels, queries);
  EXPECT_EQ(queries, 2);
  EXPECT_DOUBLE_EQ(m.map, 0.5);
  measure_run({}, {}, queries);
  EXPECT_EQ(queries, 0);
}

TEST(TrecFiles, ReadQrelsWithAHeaderOrInTrecFormat) {
  const Scratch folder("qrels");
  write_file_atomic(folder / "a.tsv", "query-id\tcorpus-id\tscore\n1\t34\t2\n1\t35\t0\n");
  write_file_atomic(folder / "b.qrels", "1 0 34 2\n1 0 35 0\n");
  EXPECT_EQ(read_qrels(folder / "a.tsv"), read_qrels(folder / "b.qrels"));
  EXPECT_EQ(read_qrels(folder / "a.tsv").at("1").at("34"), 2);
  write_file_atomic(folder / "bad", "1 0 34 2\n1 0 35 high\n");
  try {
    read_qrels(folder / "bad");
    FAIL() << "a wrong grade was accepted";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("bad:2: "), std::string::npos) << error.what();
  }
}

TEST(TrecFiles, ReadTopicsFromJsonLinesAndFromTrecMarkup) {
  const Scratch folder("topics");
  write_file_atomic(folder / "a.jsonl", "{\"_id\":\"1\",\"text\":\"BBC cuts\",\"max_id\":\"34952194402811904\"}\n");
  write_file_atomic(folder / "b.txt",
                    "<top>\n<num> Number: 1 </num>\n<query> BBC cuts </query>\n"
                    "<querytweettime> 34952194402811904 </querytweettime>\n</top>\n");
  for (const char* name : {"a.jsonl", "b.txt"}) {
    const std::vector<Topic> topics = read_topics(folder / name);
    ASSERT_EQ(topics.size(), 1u) << name;
    EXPECT_EQ(topics[0].id, "1");
    EXPECT_EQ(topics[0].text, "BBC cuts");
    EXPECT_EQ(topics[0].max_id, 34952194402811904u);
  }
}

TEST(TrecFiles, ATweetsIdGivesItsTime) {
  const Scratch folder("corpus");
  write_file_atomic(folder / "c.jsonl",
                    "{\"_id\":\"30198105513140224\",\"text\":\"a\"}\n{\"_id\":\"7\",\"text\":\"b\",\"time\":\"2011-01-"
                    "26T09:00:00Z\"}\n");
  std::vector<Post> posts;
  read_corpus(folder / "c.jsonl", "en", [&](const Post& post) { posts.push_back(post); });
  ASSERT_EQ(posts.size(), 2u);
  EXPECT_EQ(posts[0].time_s, 1296034764);  // 2011-01-26T09:39:24Z
  EXPECT_EQ(posts[1].time_s, 1296032400);
}

TEST(TrecFiles, DamagedFilesGiveADataErrorAndNeverCrash) {
  const Scratch folder("damage");
  const std::string files[] = {
      "{\"_id\":\"1\",\"text\":\"BBC\",\"max_id\":\"349\"}\n{\"_id\":\"2\",\"text\":\"cuts\"}\n",
      "<top>\n<num> Number: 1 </num>\n<title> BBC cuts </title>\n</top>\n", "1 0 34 2\n1 0 35 0\n"};
  for (const std::string& good : files) {
    for (uint64_t round = 0; round < 400; ++round) {
      std::string bad = good;
      if (round < good.size()) bad.resize(round);
      else bad[random_u64(1, round, 0) % bad.size()] ^= static_cast<char>(1 << (random_u64(1, round, 1) % 8));
      { std::ofstream(folder / "f", std::ios::binary) << bad; }
      try {
        read_topics(folder / "f");
      } catch (const Error&) {
      }
      try {
        read_qrels(folder / "f");
      } catch (const Error&) {
      }
    }
  }
}

// In a process of its own, since a stop cannot be taken back. The corpus' second line is not read any more: it is none.
TEST(TrecEvaluation, AStopEndsTheIndexing) {
  const Scratch folder("stop");
  write_file_atomic(folder / "c.jsonl", "{\"_id\":\"1\",\"text\":\"BBC cuts\"}\nno document\n");
  write_file_atomic(folder / "t.jsonl", "{\"_id\":\"1\",\"text\":\"BBC\"}\n");
  write_file_atomic(folder / "q.qrels", "1 0 1 1\n");
  const auto evaluate = [&] {
    request_stop();
    try {
      evaluate_trec({folder / "c.jsonl", folder / "t.jsonl", folder / "q.qrels"}, folder / "index",
                    Config(search_config_keys()), nullptr);
    } catch (const Error& error) {
      std::fputs(error.what(), stderr);
    }
    std::exit(0);
  };
  EXPECT_EXIT(evaluate(), testing::ExitedWithCode(0), "stopped");
}

// The figures of the data's README: BM25, k1 = 0.9, b = 0.4, light stemming, these qrels. Within 3 percent.
TEST(TrecMicroblog, TheLexicalStageReachesThePublishedBm25Figures) {
  const char* data = std::getenv("STARLING_TEST_DATA");
  if (!data || !fs::exists(fs::path(data) / "search/trec-microblog-2011-corpus.jsonl.zst"))
    GTEST_SKIP() << "STARLING_TEST_DATA does not hold search/trec-microblog-*";
  Progress::set_quiet(true);
  const Scratch folder("microblog");
  const Config config(search_config_keys());
  for (const auto& [year, figure] : {std::pair{"2011", 0.513}, std::pair{"2012", 0.360}}) {
    const std::string stem = (fs::path(data) / "search/trec-microblog-").string() + year;
    const SearchEvaluation result = evaluate_trec(
        {stem + "-corpus.jsonl.zst", stem + "-queries.jsonl", stem + "-qrels.tsv.zst"}, folder.path, config, nullptr);
    ASSERT_EQ(result.stages.size(), 3u);  // no model: neither vectors nor their fusion
    EXPECT_EQ(result.stages[0].name, "lexical");
    EXPECT_GE(result.stages[0].measures.ndcg_10, 0.97 * figure) << year;
    for (const StageResult& stage : result.stages)
      std::printf("%s %-8s %ld queries, nDCG@10 %.4f MAP %.4f P@30 %.4f MRR %.4f\n", year, stage.name.c_str(),
                  result.queries, stage.measures.ndcg_10, stage.measures.map, stage.measures.p_30, stage.measures.mrr);
    for (const Topic& topic : read_topics(stem + "-queries.jsonl"))
      for (const ScoredDocument& document : result.stages[0].run.at(topic.id))
        ASSERT_LE(std::stoull(document.id), *topic.max_id);
  }
}

}  // namespace
}  // namespace starling
