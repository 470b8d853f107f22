#include "posts/kafka_rows.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/hash.h"
#include "core/stop.h"
#include "posts/ingest.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

// librdkafka's own cluster of brokers, on the loopback interface, with a producer.
class Kafka : public ::testing::Test {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP()
        << "ThreadSanitizer of GCC 12 does not know C11's threads, which librdkafka starts, and crashes in them";
#endif
    rd_kafka_conf_t* settings = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(settings, [](const rd_kafka_t*, int, const char*, const char*) {});
    char why[256];
    rd_kafka_conf_set(settings, "test.mock.num.brokers", "1", why, sizeof why);
    rd_kafka_conf_set(settings, "bootstrap.servers", "mock", why, sizeof why);
    producer_ = rd_kafka_new(RD_KAFKA_PRODUCER, settings, why, sizeof why);
    ASSERT_NE(producer_, nullptr) << why;
    cluster_ = rd_kafka_handle_mock_cluster(producer_);
    ASSERT_NE(cluster_, nullptr);
    rd_kafka_mock_topic_create(cluster_, "posts", 3, 1);
  }
  void TearDown() override {
    if (producer_ != nullptr) rd_kafka_destroy(producer_);
    fs::remove_all(folder_);
  }

  void produce(int32_t partition, const std::string& value, const std::string& key = {}) {
    void* payload = value.empty() ? nullptr : const_cast<char*>(value.data());
    ASSERT_EQ(rd_kafka_producev(producer_, RD_KAFKA_V_TOPIC("posts"), RD_KAFKA_V_PARTITION(partition),
                                RD_KAFKA_V_KEY(key.data(), key.size()), RD_KAFKA_V_VALUE(payload, value.size()),
                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
              RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  void produce_posts(int first, int count) {
    for (int i = first; i < first + count; ++i)
      produce(i % 3, "{\"id\":\"" + std::to_string(i) + "\",\"text\":\"post\"}");
    flush();
  }
  void flush() { ASSERT_EQ(rd_kafka_flush(producer_, 10000), RD_KAFKA_RESP_ERR_NO_ERROR); }
  std::string url(const std::string& topic_and_query = "posts?group=g") const {
    return std::string("kafka://") + rd_kafka_mock_cluster_bootstraps(cluster_) + "/" + topic_and_query;
  }
  IngestReport run(IngestOptions options = IngestOptions()) {
    PostStore store(folder_ / "posts");
    return ingest(store, folder_ / "posts", {url()}, options);
  }

  fs::path folder_ = fs::temp_directory_path() / ("starling-kafka-" + random_hex(8));
  rd_kafka_t* producer_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

TEST_F(Kafka, ReadsATopicToItsEndAndTheGroupGoesOnFromThere) {
  produce_posts(0, 100);
  EXPECT_EQ(run().added, 100u);
  produce_posts(100, 20);
  const IngestReport report = run();
  EXPECT_EQ(report.rows, 20u);
  EXPECT_EQ(report.added, 20u);
  EXPECT_TRUE(report.failed_files.empty());
}

// Without the events that tell the end, as where messages come so fast that the reader is never there.
TEST_F(Kafka, ATopicThatGrowsIsReadToWhereItEndedWhenItWasOpened) {
  produce_posts(0, 30);
  const auto reader = RowReader::open(url("posts?group=g&enable.partition.eof=false"), RowOptions());
  produce_posts(30, 30);
  int rows = 0;
  for (Row row; reader->next(row);) ++rows;
  EXPECT_GE(rows, 30);
}

// In a process of its own, since a stop cannot be taken back.
TEST_F(Kafka, AStopBetweenMessagesIsAnInterruption) {
  produce_posts(0, 30);
  const pid_t child = ::fork();
  if (child == 0) {
    request_stop();
    ::_exit(run().interrupted ? 0 : 1);
  }
  int status = 1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(Kafka, AStopEndsTheWaitForABrokerThatDoesNotAnswer) {
  const pid_t child = ::fork();
  if (child == 0) {
    request_stop();
    PostStore store(folder_ / "posts");
    const IngestReport report = ingest(store, folder_ / "posts", {"kafka://127.0.0.1:1/posts"}, IngestOptions());
    ::_exit(report.interrupted && report.failed_files.empty() ? 0 : 1);
  }
  int status = 1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(Kafka, WhatWasReadButNotStoredComesAgain) {
  produce_posts(0, 30);
  {
    const auto reader = RowReader::open(url(), RowOptions());
    Row row;
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(reader->next(row));
  }  // gone without acknowledge(), as after a kill
  EXPECT_EQ(run().added, 30u);
}

TEST_F(Kafka, BadMessagesAreKeptAndEmptyOnesDelete) {
  produce(0, "{\"id\":\"1\",\"text\":\"one\"}");
  produce(0, "not json");
  produce(0, "", "7");
  flush();
  std::vector<std::string> deleted;
  IngestOptions options;
  options.on_deletion = [&](const std::string& kind, const std::string& id) { deleted.push_back(kind + " " + id); };
  const IngestReport report = run(options);
  EXPECT_EQ(report.added, 1u);
  EXPECT_EQ(report.bad, 1u);
  EXPECT_NE(report.problems.at(0).find(":2: not JSON"), std::string::npos) << report.problems.at(0);
  EXPECT_NE(report.problems.at(0).find("(partition 0)"), std::string::npos) << report.problems.at(0);
  EXPECT_EQ(deleted, std::vector<std::string>{"post 7"});
}

TEST_F(Kafka, AnAbsentTopicIsAnErrorThatNamesIt) {
  rd_kafka_mock_topic_set_error(cluster_, "nowhere", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  try {
    RowReader::open(url("nowhere"), RowOptions());
    FAIL();
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere: cannot ask for the topic"), std::string::npos) << error.what();
  }
}

TEST_F(Kafka, AUrlThatSaysTooLittleOrTooMuchIsRefused) {
  for (const std::string& bad :
       {std::string("kafka://"), std::string("kafka://host:9092"), std::string("kafka:///posts"),
        url("posts?no.such.setting=1"), url("posts?format=nonsense")})
    EXPECT_THROW(RowReader::open(bad, RowOptions()), ConfigError) << bad;
}

std::string error_of(const std::string& url) {
  try {
    RowReader::open(url, RowOptions());
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_F(Kafka, AFormatWhoseRecordsAreNotJsonIsRefused) {
  for (const char* format : {"csv", "mail"}) {
    const std::string refused = error_of(url(std::string("posts?format=") + format));
    EXPECT_NE(refused.find(std::string("format=") + format), std::string::npos) << refused;
    RowOptions options;
    options.format = parse_row_format(format);
    EXPECT_THROW(RowReader::open(url(), options), ConfigError) << format;
  }
}

TEST_F(Kafka, SecretsComeFromTheEnvironmentAndAreNeverShown) {
  const std::string refused = error_of(url("posts?sasl.password=hunter2"));
  EXPECT_NE(refused.find("STARLING_KAFKA_SASL_PASSWORD"), std::string::npos) << refused;
  EXPECT_EQ((refused + error_of("kafka://host?sasl.password=hunter2")).find("hunter2"), std::string::npos);
  ::setenv("STARLING_KAFKA_SSL_KEY_PEM", "hunter2", 1);
  const std::string taken = error_of(url("posts?security.protocol=ssl"));  // the library refuses what is no key
  ::unsetenv("STARLING_KAFKA_SSL_KEY_PEM");
  EXPECT_NE(taken.find("ssl.key.pem"), std::string::npos) << taken;
  EXPECT_EQ(taken.find("hunter2"), std::string::npos) << taken;
}

}  // namespace
}  // namespace starling
