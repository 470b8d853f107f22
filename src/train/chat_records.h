// Records for fine-tuning, one JSON object a line (docs/formats/finetuning.md):
//   supervised   {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
//   preference   {"messages": [... up to a user's], "chosen": "...", "rejected": "..."}
// "prompt": "..." stands for one user message. Plain texts, for continued pretraining and against forgetting:
//   text         {"text": "..."}; "id" and "author" where it is a post: a file of posts holds such records
// Texts that belong together, for an embedding:
//   contrastive  {"anchor": "...", "positive": "..."}, and "group": "..." where pairs are not each other's negatives
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "train/contrastive.h"
#include "train/finetune.h"
#include "train/text_examples.h"

namespace starling {

struct ChatTurn {
  std::string role, content;
};

struct ChatRecord {
  std::vector<ChatTurn> messages;
  std::string chosen, rejected;  // preference only
};

enum class ChatRecordKind { supervised, preference };

// Throws IoError; DataError with file and line for a record that is not such.
std::vector<ChatRecord> read_chat_records(const std::filesystem::path& jsonl, ChatRecordKind kind);

std::vector<TextRecord> read_text_records(const std::filesystem::path& jsonl);  // throws as the former

std::vector<RelatedTexts> read_related_texts(const std::filesystem::path& jsonl);  // throws as the former

// How a model is talked to: a prompt that ends where an answer begins, and an answer with its end.
struct ChatEncoder {
  std::function<std::vector<TokenId>(const std::vector<ChatTurn>& messages)> prompt;
  std::function<std::vector<TokenId>(const std::string& answer)> answer;
};

// One example for each message of the assistant: all before it is read, it alone is learned.
std::vector<FineTuneExample> supervised_examples(const std::vector<ChatRecord>& records, const ChatEncoder& encoder);
std::vector<PreferencePair> preference_pairs(const std::vector<ChatRecord>& records, const ChatEncoder& encoder);

}  // namespace starling
