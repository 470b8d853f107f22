#include "posts/kafka_rows.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iterator>
#include <map>
#include <utility>

#include "core/error.h"
#include "core/stop.h"
#include "core/time.h"

namespace starling {
namespace {

constexpr std::string_view kScheme = "kafka://";
// Settings that come from the environment alone, STARLING_KAFKA_SASL_PASSWORD and so on: reports, the quarantine and
// lists of processes show URLs.
constexpr const char* kSecretSettings[] = {"sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password",
                                           "sasl.oauthbearer.client.secret"};
constexpr int kPatience_s = 30, kPatience_ms = kPatience_s * 1000;
constexpr int kPoll_ms = 100, kAsk_ms = 2000;

struct Source {
  std::string brokers, topic;
  RowFormat format = RowFormat::kJsonLines;
  std::map<std::string, std::string> settings = {{"group.id", "starling"},
                                                 {"enable.auto.commit", "false"},
                                                 {"enable.partition.eof", "true"},
                                                 {"auto.offset.reset", "earliest"}};
};

std::string environment_name(std::string_view setting) {
  std::string name = "STARLING_KAFKA_";
  for (const char c : setting) name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

void add_secrets(Source& source) {
  for (const char* setting : kSecretSettings)
    if (const char* value = std::getenv(environment_name(setting).c_str())) source.settings[setting] = value;
}

void add_setting(Source& source, std::string_view setting) {
  const size_t equals = setting.find('=');
  const std::string key(setting.substr(0, equals));
  const std::string value(equals == std::string_view::npos ? "" : setting.substr(equals + 1));
  if (std::ranges::find(kSecretSettings, key) != std::end(kSecretSettings))
    throw ConfigError(
        fmt::format("{} must not stand in a Kafka URL, which reports and lists of processes show; set the "
                    "environment variable {}",
                    key, environment_name(key)));
  if (key == "format") source.format = parse_row_format(value);
  else source.settings[key == "group" ? "group.id" : key] = value;
}

// `format`: where the URL names none.
Source parse_url(const std::string& url, RowFormat format) {
  Source source;
  if (format != RowFormat::kAuto) source.format = format;
  std::string_view rest = std::string_view(url).substr(kScheme.size());
  const size_t query = rest.find('?'), slash = rest.substr(0, query).find('/');
  if (slash != std::string_view::npos) {
    source.brokers = rest.substr(0, slash);
    source.topic = rest.substr(slash + 1, query == std::string_view::npos ? query : query - slash - 1);
  }
  if (source.brokers.empty() || source.topic.empty())
    throw ConfigError(fmt::format("{}: write kafka://host:port/topic?group=name", url.substr(0, url.find('?'))));
  source.settings["bootstrap.servers"] = source.brokers;
  add_secrets(source);
  if (query != std::string_view::npos) {
    for (rest.remove_prefix(query + 1); !rest.empty();) {
      const size_t end = std::min(rest.find('&'), rest.size());
      if (end > 0) add_setting(source, rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  if (source.format == RowFormat::kCsv || source.format == RowFormat::kMail)
    throw ConfigError(fmt::format("{}: the messages of a topic are read as JSON objects; format={} is for files",
                                  url.substr(0, url.find('?')), source.format == RowFormat::kCsv ? "csv" : "mail"));
  return source;
}

struct Destroy {
  void operator()(rd_kafka_t* kafka) const {
    rd_kafka_consumer_close(kafka);
    rd_kafka_destroy(kafka);
  }
  void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
  void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
  void operator()(const rd_kafka_metadata_t* metadata) const { rd_kafka_metadata_destroy(metadata); }
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
};
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy>;

class KafkaRows : public RowReader {
 public:
  KafkaRows(const std::string& url, const RowOptions& options)
      : url_(url),
        source_(parse_url(url, options.format)),
        max_bytes_(options.max_row_bytes),
        records_(options, source_.format) {
    connect();
    assign_all_partitions();
  }

  bool next(Row& row) override {
    for (const double begin = monotonic_s(); !ahead_.empty() && !stop_requested();) {
      const std::unique_ptr<rd_kafka_message_t, Destroy> message(rd_kafka_consumer_poll(kafka_.get(), kPoll_ms));
      if (!message) {
        if (monotonic_s() - begin > kPatience_s)
          throw IoError(fmt::format("{}: no answer for {} s{}", url_, kPatience_s,
                                    last_error_.empty() ? "" : " (" + last_error_ + ")"));
      } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        read(*message, row);
        return true;
      } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        ahead_.erase(message->partition);
      } else {
        last_error_ = rd_kafka_message_errstr(message.get());  // the client goes on trying
      }
    }
    return false;
  }
  uint64_t consumed_bytes() const override { return consumed_bytes_; }
  bool is_queue() const override { return true; }

  void acknowledge() override {
    const Partitions offsets(rd_kafka_topic_partition_list_new(static_cast<int>(positions_.size())));
    for (const auto& [partition, next] : positions_)
      rd_kafka_topic_partition_list_add(offsets.get(), source_.topic.c_str(), partition)->offset = next;
    if (offsets->cnt > 0) check(rd_kafka_commit(kafka_.get(), offsets.get(), 0), "commit the offsets of");
  }

 private:
  void connect() {
    rd_kafka_conf_t* settings = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(settings, [](const rd_kafka_t*, int, const char*, const char*) {});
    char why[512] = "";
    for (const auto& [key, value] : source_.settings)
      if (rd_kafka_conf_set(settings, key.c_str(), value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) {
        rd_kafka_conf_destroy(settings);
        throw ConfigError(fmt::format("{}: {}", url_, why));
      }
    kafka_.reset(rd_kafka_new(RD_KAFKA_CONSUMER, settings, why, sizeof why));
    if (!kafka_) {
      rd_kafka_conf_destroy(settings);
      throw ConfigError(fmt::format("{}: {}", url_, why));
    }
    rd_kafka_poll_set_consumer(kafka_.get());
  }

  // By the log-compaction convention a message without a value deletes what its key names.
  void read(const rd_kafka_message_t& message, Row& row) {
    positions_[message.partition] = message.offset + 1;
    const auto ahead = ahead_.find(message.partition);
    if (ahead != ahead_.end() && message.offset + 1 >= ahead->second) ahead_.erase(ahead);
    consumed_bytes_ += message.len;
    row = {.line = static_cast<uint64_t>(message.offset) + 1,
           .raw = std::string(static_cast<const char*>(message.payload), std::min(message.len, max_bytes_)),
           .cut = message.len > max_bytes_};
    if (message.payload == nullptr) {
      row.kind = {RecordKind::kDeletion, "post", {static_cast<const char*>(message.key), message.key_len}};
      if (message.key_len == 0) row.problem = "neither key nor value";
    } else if (row.cut) {
      row.problem = fmt::format("longer than {} bytes (ingest.max_row_bytes)", max_bytes_);
    } else {
      records_.read(row);
    }
    if (!row.problem.empty()) row.problem += fmt::format(" (partition {})", message.partition);
  }

  // All partitions are this reader's, from where the group has come to: a workspace has one writer, so there is nobody
  // to share them with.
  void assign_all_partitions() {
    const std::unique_ptr<rd_kafka_topic_t, Destroy> topic(
        rd_kafka_topic_new(kafka_.get(), source_.topic.c_str(), nullptr));
    const rd_kafka_metadata_t* answer = nullptr;
    check(ask(topic.get(), answer), "ask for");
    if (answer == nullptr) return;
    const std::unique_ptr<const rd_kafka_metadata_t, Destroy> metadata(answer);
    check(metadata->topics[0].err, "ask for");
    const int count = metadata->topics[0].partition_cnt;
    const Partitions partitions(rd_kafka_topic_partition_list_new(count));
    for (int i = 0; i < count; ++i) {
      const int32_t partition = metadata->topics[0].partitions[i].id;
      rd_kafka_topic_partition_list_add(partitions.get(), source_.topic.c_str(), partition)->offset =
          RD_KAFKA_OFFSET_STORED;
      int64_t first = 0, end = 0;
      check(
          rd_kafka_query_watermark_offsets(kafka_.get(), source_.topic.c_str(), partition, &first, &end, kPatience_ms),
          "ask for");
      if (end > first) ahead_[partition] = end;
    }
    check(rd_kafka_assign(kafka_.get(), partitions.get()), "assign");
  }

  // No answer and no error where a stop ended the wait.
  rd_kafka_resp_err_t ask(rd_kafka_topic_t* topic, const rd_kafka_metadata_t*& answer) {
    bool told = false;
    for (const double begin = monotonic_s(); !stop_requested();) {
      const rd_kafka_resp_err_t error = rd_kafka_metadata(kafka_.get(), 0, topic, &answer, kAsk_ms);
      const bool waits = error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__TIMED_OUT;
      if (!waits || monotonic_s() - begin > kPatience_s) return error;
      const std::unique_ptr<rd_kafka_message_t, Destroy> message(rd_kafka_consumer_poll(kafka_.get(), kPoll_ms));
      const char* why = message ? rd_kafka_message_errstr(message.get()) : rd_kafka_err2str(error);
      if (!std::exchange(told, true)) spdlog::warn("{}: no answer yet ({}); waits for {} s", url_, why, kPatience_s);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  void check(rd_kafka_resp_err_t error, const char* what) const {
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
      throw IoError(fmt::format("{}: cannot {} the topic: {}", url_, what, rd_kafka_err2str(error)));
  }

  std::string url_;
  Source source_;
  size_t max_bytes_;
  JsonRecords records_;
  std::unique_ptr<rd_kafka_t, Destroy> kafka_;
  std::map<int32_t, int64_t> positions_;  // the offset after the last message read, by partition
  std::map<int32_t, int64_t> ahead_;      // where a partition ended when it was opened, until it is read to there
  std::string last_error_;
  uint64_t consumed_bytes_ = 0;
};

}  // namespace

bool is_kafka_url(std::string_view source) { return source.starts_with(kScheme); }

std::unique_ptr<RowReader> open_kafka(const std::string& url, const RowOptions& options) {
  return std::make_unique<KafkaRows>(url, options);
}

}  // namespace starling
