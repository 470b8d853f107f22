#include "train/sample_source.h"

#include <fmt/format.h>

#include <string>

#include "core/error.h"
#include "core/hash.h"
#include "store/control_db.h"

namespace starling {

bool may_learn(const ControlDb& control, const std::string& post_id, const std::string& author) {
  return !control.is_deleted(post_id, author) && !control.has_opted_out(author, "training");
}

std::function<bool(const Sample&)> mask_of(const std::shared_ptr<ControlDb>& db) {
  return
      [db](const Sample& sample) { return !may_learn(*db, std::string(sample.post_id), std::string(sample.author)); };
}

void require_tokenizer_of(const ShardReader& shards, const Workspace& workspace) {
  if (sha256_file_hex(workspace.tokenizer()) != shards.tokenizer_sha256())
    throw DataError(fmt::format("{} is not the tokenizer that the shards were made with; run `starling prepare` again",
                                workspace.tokenizer().string()));
}

SampleSource newest_of(SampleSource source, uint64_t newest) {
  if (newest == 0 || newest >= source.count) return source;
  const uint64_t first = source.count - newest;
  return {newest, [read = std::move(source.read), first](uint64_t index) { return read(first + index); },
          std::move(source.is_masked)};
}

SampleSource spread_of(SampleSource source, uint64_t wanted) {
  if (wanted == 0 || wanted >= source.count) return source;
  return {
      wanted,
      [read = std::move(source.read), count = source.count, wanted](uint64_t i) { return read(i * count / wanted); },
      std::move(source.is_masked)};
}

SampleSource retokenized(SampleSource source, const Tokenizer& from, const Tokenizer& to, TokenId end) {
  return {source.count,
          [read = std::move(source.read), &from, &to, end](uint64_t index) {
            Sample sample = read(index);
            sample.tokens = to.encode(from.decode(sample.tokens));  // special tokens decode to nothing
            sample.tokens.push_back(end);
            return sample;
          },
          std::move(source.is_masked)};
}

}  // namespace starling
