// Posts from a Kafka topic: kafka://host:port[,host:port]/topic?group=NAME[&format=bluesky]
// Each message is one record, as a line of the format would be (JSON lines by default). Reads what the topic held when
// it was opened, then ends; the group (default: starling) remembers how far. Offsets are committed after the posts are
// stored, so a kill makes messages come again, and posts are stored once by their id. Other parameters are librdkafka's
// settings; its secrets come from the environment (STARLING_KAFKA_SASL_PASSWORD) and are refused in a URL.
// Throws ConfigError for a URL without host or topic or with an unknown setting, IoError for a topic that is not there
// and when no broker answers for 30 s.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "posts/row_reader.h"

namespace starling {

bool is_kafka_url(std::string_view source);
std::unique_ptr<RowReader> open_kafka(const std::string& url, const RowOptions& options);

}  // namespace starling
