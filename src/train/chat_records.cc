#include "train/chat_records.h"

#include <fmt/format.h>

#include <fstream>

#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"

namespace starling {
namespace {

void check(const ChatRecord& record, ChatRecordKind kind) {
  if (record.messages.empty()) throw DataError("it has no messages");
  bool answered = false;
  for (const ChatTurn& turn : record.messages) {
    if (turn.role != "system" && turn.role != "user" && turn.role != "assistant")
      throw DataError(fmt::format("role \"{}\" is not system, user or assistant", turn.role));
    answered |= turn.role == "assistant";
  }
  if (record.messages.front().role == "assistant") throw DataError("it begins with the assistant's message");
  if (kind == ChatRecordKind::supervised && !answered) throw DataError("the assistant says nothing in it");
  if (kind == ChatRecordKind::preference && record.messages.back().role == "assistant")
    throw DataError("its messages must end before the answer, which is chosen and rejected");
}

const char* kind_of(const nlohmann::json& json) {
  if (json.is_object()) return "an object";
  if (json.is_array()) return "a list";
  if (json.is_string()) return "a text";
  if (json.is_boolean()) return "true or false";
  return json.is_null() ? "null" : "a number";
}

const nlohmann::json& field(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end()) throw DataError(fmt::format("it has no \"{}\"", name));
  return *found;
}

std::string text_field(const nlohmann::json& json, const char* name) {
  const nlohmann::json& text = field(json, name);
  if (!text.is_string()) throw DataError(fmt::format("\"{}\" must be a text, not {}", name, kind_of(text)));
  return text.get<std::string>();
}

void require_object(const nlohmann::json& json, const char* what) {
  if (!json.is_object()) throw DataError(fmt::format("{} must be an object, not {}", what, kind_of(json)));
}

std::vector<ChatTurn> messages_of(const nlohmann::json& json) {
  const nlohmann::json& messages = field(json, "messages");
  if (!messages.is_array()) throw DataError(fmt::format("\"messages\" must be a list, not {}", kind_of(messages)));
  std::vector<ChatTurn> turns;
  for (const nlohmann::json& message : messages) {
    require_object(message, "a message");
    turns.push_back({text_field(message, "role"), text_field(message, "content")});
  }
  return turns;
}

ChatRecord parse(const nlohmann::json& json, ChatRecordKind kind) {
  ChatRecord record;
  if (json.contains("prompt")) record.messages.push_back({"user", text_field(json, "prompt")});
  else record.messages = messages_of(json);
  if (kind == ChatRecordKind::preference) {
    record.chosen = text_field(json, "chosen");
    record.rejected = text_field(json, "rejected");
  } else if (json.contains("completion")) {
    record.messages.push_back({"assistant", text_field(json, "completion")});
  }
  check(record, kind);
  return record;
}

template <typename Record>
std::vector<Record> read_lines(const std::filesystem::path& path,
                               const std::function<Record(const nlohmann::json&)>& parse_record) {
  std::ifstream file(path);
  if (!file) throw IoError(fmt::format("{}: cannot be read", path.string()));
  std::vector<Record> records;
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      const nlohmann::json json = try_parse_json(line);
      if (json.is_discarded()) throw DataError("it is not JSON");
      require_object(json, "a record");
      records.push_back(parse_record(json));
    } catch (const DataError& error) {
      throw DataError(fmt::format("{} line {}: {}", path.string(), number, error.what()));
    }
  }
  if (file.bad()) throw IoError(fmt::format("{}: reading failed at line {}", path.string(), number));
  if (records.empty()) throw DataError(fmt::format("{}: holds no records", path.string()));
  return records;
}

// A string or a whole number, as in a file of posts; empty for anything else.
std::string id_in(const nlohmann::json& json, const char* field) {
  const auto id = json.find(field);
  if (id == json.end()) return {};
  return id->is_string() ? id->get<std::string>() : id->is_number_integer() ? id->dump() : std::string();
}

FineTuneExample example_of(std::vector<TokenId> prompt, const std::vector<TokenId>& answer) {
  FineTuneExample example{std::move(prompt), static_cast<int64_t>(answer.size())};
  example.tokens.insert(example.tokens.end(), answer.begin(), answer.end());
  return example;
}

}  // namespace

std::vector<ChatRecord> read_chat_records(const std::filesystem::path& path, ChatRecordKind kind) {
  return read_lines<ChatRecord>(path, [kind](const nlohmann::json& json) { return parse(json, kind); });
}

std::vector<TextRecord> read_text_records(const std::filesystem::path& path) {
  return read_lines<TextRecord>(path, [](const nlohmann::json& json) {
    return TextRecord{text_field(json, "text"), id_in(json, "id"), id_in(json, "author")};
  });
}

std::vector<RelatedTexts> read_related_texts(const std::filesystem::path& path) {
  uint64_t lines = 0;
  return read_lines<RelatedTexts>(path, [&](const nlohmann::json& json) {
    const uint64_t alone = hash64(fmt::format("line {}", ++lines));
    return RelatedTexts{text_field(json, "anchor"), text_field(json, "positive"),
                        json.contains("group") ? hash64("group " + text_field(json, "group")) : alone};
  });
}

std::vector<FineTuneExample> supervised_examples(const std::vector<ChatRecord>& records, const ChatEncoder& encoder) {
  std::vector<FineTuneExample> examples;
  for (const ChatRecord& record : records)
    for (size_t i = 0; i < record.messages.size(); ++i) {
      if (record.messages[i].role != "assistant") continue;
      const std::vector<ChatTurn> before(record.messages.begin(), record.messages.begin() + static_cast<long>(i));
      examples.push_back(example_of(encoder.prompt(before), encoder.answer(record.messages[i].content)));
    }
  return examples;
}

std::vector<PreferencePair> preference_pairs(const std::vector<ChatRecord>& records, const ChatEncoder& encoder) {
  std::vector<PreferencePair> pairs;
  for (const ChatRecord& record : records) {
    const std::vector<TokenId> prompt = encoder.prompt(record.messages);
    pairs.push_back(
        {example_of(prompt, encoder.answer(record.chosen)), example_of(prompt, encoder.answer(record.rejected))});
  }
  return pairs;
}

}  // namespace starling
