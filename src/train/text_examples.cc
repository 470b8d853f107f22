#include "train/text_examples.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "core/error.h"
#include "posts/shards.h"
#include "store/control_db.h"
#include "train/sample_source.h"

namespace starling {

std::vector<std::string> prepared_texts(const Workspace& workspace, uint64_t newest, SeenIds& seen) {
  const ShardReader shards(workspace.shards(), "train");
  require_tokenizer_of(shards, workspace);
  const std::shared_ptr<Tokenizer> tokenizer = Tokenizer::load(workspace.tokenizer());
  const SampleSource source =
      newest_of(source_of(shards, mask_of(std::make_shared<ControlDb>(workspace.control_db()))), newest);
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < source.count; ++i) {
    const Sample sample = source.read(i);
    if (sample.tokens.empty() || source.is_masked(sample)) continue;
    texts.push_back(tokenizer->decode(std::span(sample.tokens).first(sample.tokens.size() - 1)));  // without the end
    seen.add("post", sample.post_id);
    seen.add("author", sample.author);
  }
  if (texts.empty()) throw DataError("the training shards hold no samples; ingest posts and run `starling prepare`");
  return texts;
}

std::vector<std::string> allowed_texts(const std::vector<TextRecord>& records, const ControlDb& control,
                                       SeenIds& seen) {
  std::vector<std::string> texts;
  for (const TextRecord& record : records) {
    if (!may_learn(control, record.post_id, record.author)) continue;
    texts.push_back(record.text);
    seen.add("post", record.post_id);
    seen.add("author", record.author);
  }
  if (texts.empty()) throw DataError("all records are of deleted posts, or of authors who opted out of training");
  if (texts.size() < records.size())
    spdlog::warn("{} of {} records are left out: deleted posts, or authors who opted out of training",
                 records.size() - texts.size(), records.size());
  return texts;
}

std::vector<FineTuneExample> text_examples(std::span<const std::string> texts, const Tokenizer& tokenizer,
                                           const TextMarks& marks, int64_t max_length) {
  std::vector<FineTuneExample> examples;
  for (const std::string& text : texts) {
    std::vector<TokenId> tokens = marks.opening;
    tokenizer.append_tokens(text, tokens);
    tokens.push_back(marks.end);
    const auto places = static_cast<int64_t>(tokens.size()) - 1;
    for (int64_t first = 0; first < places; first += max_length) {
      const int64_t count = std::min(max_length, places - first);
      examples.push_back({{tokens.begin() + first, tokens.begin() + first + count + 1}, count});
    }
  }
  return examples;
}

std::vector<TextPair> text_pairs(std::span<const RelatedTexts> pairs, const Tokenizer& tokenizer,
                                 std::span<const TokenId> opening, int64_t max_length) {
  const auto example = [&](const std::string& text) {
    FineTuneExample read{{opening.begin(), opening.end()}};
    tokenizer.append_tokens(text, read.tokens);
    read.tokens.resize(std::min(read.tokens.size(), static_cast<size_t>(max_length)));
    read.tokens.push_back(0);  // the last token of an example is never read
    return read;
  };
  std::vector<TextPair> examples;
  for (const RelatedTexts& pair : pairs) examples.push_back({example(pair.first), example(pair.second), pair.group});
  return examples;
}

}  // namespace starling
