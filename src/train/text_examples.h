// Plain texts as examples for fine-tuning, with the model's own tokenizer: for continued pretraining, and for
// embedding.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/workspace.h"
#include "tokenizer/tokenizer.h"
#include "train/contrastive.h"
#include "train/finetune.h"
#include "train/lineage.h"

namespace starling {

class ControlDb;

// The texts of the training shards as `starling prepare` left them, cleaned and without personal data, the newest
// `newest` of them (0: all). Posts deleted or opted out since are left out. The ids of the others go to `seen`. Throws
// IoError, DataError.
std::vector<std::string> prepared_texts(const Workspace& workspace, uint64_t newest, SeenIds& seen);

// A text given in a file; the ids are empty where it is no post.
struct TextRecord {
  std::string text, post_id, author;
};
// Their texts, without those of posts that are deleted or whose authors opted out of training: how many these are is a
// warning. The ids of the others go to `seen`. Throws DataError when none is left.
std::vector<std::string> allowed_texts(const std::vector<TextRecord>& records, const ControlDb& control, SeenIds& seen);

struct TextMarks {
  std::vector<TokenId> opening;  // Tokenizer::opening_tokens()
  TokenId end = 2;
};
// Opening, text, end: all but the first token is learned. What is beyond max_length >= 1 places goes on in an example
// that reads the last token of the one before.
std::vector<FineTuneExample> text_examples(std::span<const std::string> texts, const Tokenizer& tokenizer,
                                           const TextMarks& marks, int64_t max_length);

// Opening and text, cut to max_length places, for an embedding.
std::vector<TextPair> text_pairs(std::span<const RelatedTexts> pairs, const Tokenizer& tokenizer,
                                 std::span<const TokenId> opening, int64_t max_length);

}  // namespace starling
