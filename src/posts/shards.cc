#include "posts/shards.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "posts/buffered_file.h"
#include "posts/shard_files.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

fs::path shard_path(const fs::path& folder, const std::string& name, const std::string& extension) {
  return folder / (name + "." + extension);
}

// One shard being written.
class OpenShard {
 public:
  OpenShard(const fs::path& folder, std::string name)
      : folder_(folder),
        tokens_(shard_path(folder, name, "tokens")),
        samples_(shard_path(folder, name, "samples")),
        ids_(shard_path(folder, name, "ids")) {
    entry_.name = std::move(name);
  }

  void add(const Sample& sample, int token_bytes) {
    const SampleRow row{entry_.tokens,
                        static_cast<uint32_t>(sample.tokens.size()),
                        sample.text_bytes,
                        sample.time_s,
                        id_bytes_,
                        static_cast<uint32_t>(sample.post_id.size()),
                        static_cast<uint32_t>(sample.author.size())};
    samples_.append(&row, sizeof row);
    ids_.append(sample.post_id.data(), sample.post_id.size());
    ids_.append(sample.author.data(), sample.author.size());
    for (const TokenId token : sample.tokens)
      tokens_.append(&token, static_cast<size_t>(token_bytes));  // little-endian
    id_bytes_ += sample.post_id.size() + sample.author.size();
    entry_.tokens += sample.tokens.size();
    entry_.text_bytes += sample.text_bytes;
    ++entry_.samples;
  }

  uint64_t tokens() const { return entry_.tokens; }

  ShardEntry finish() {
    for (BufferedFile* file : {&tokens_, &samples_, &ids_}) file->finish();
    for (const char* extension : kShardExtensions) {
      const fs::path path = shard_path(folder_, entry_.name, extension);
      entry_.files[extension] = {fs::file_size(path), sha256_file_hex(path)};
    }
    return entry_;
  }

 private:
  fs::path folder_;
  ShardEntry entry_;
  uint64_t id_bytes_ = 0;
  BufferedFile tokens_, samples_, ids_;
};

struct MappedShard {
  std::string name;
  uint64_t first_sample = 0;
  MappedFile tokens, samples, ids;

  SampleRow row(uint64_t index) const {
    SampleRow row{};
    std::memcpy(&row, samples.bytes().data() + index * sizeof row, sizeof row);
    return row;
  }
};

DataError damaged(const fs::path& path, const std::string& how) {
  return DataError(fmt::format("{}: {}; the shard is damaged, run `starling prepare` again", path.string(), how));
}

MappedFile map_checked(const fs::path& path, const ShardFile& expected) {
  if (!fs::exists(path)) throw damaged(path, "the file is missing");
  MappedFile file(path);
  if (file.bytes().size() != expected.bytes)
    throw damaged(path, fmt::format("{} bytes where the manifest says {}", file.bytes().size(), expected.bytes));
  if (sha256_hex(file.text()) != expected.sha256) throw damaged(path, "its SHA-256 is not the manifest's");
  return file;
}

// Rows follow each other without gaps and fill the token and id files exactly.
void check_rows(const MappedShard& shard, const ShardEntry& entry, int token_bytes, const fs::path& path) {
  if (shard.samples.bytes().size() != entry.samples * sizeof(SampleRow))
    throw damaged(path, "its length is not that of the samples");
  uint64_t tokens = 0, id_bytes = 0, text_bytes = 0;
  for (uint64_t i = 0; i < entry.samples; ++i) {
    const SampleRow row = shard.row(i);
    if (row.token_offset != tokens || row.id_offset != id_bytes)
      throw damaged(path, fmt::format("sample {} is out of place", i));
    tokens += row.tokens;
    text_bytes += row.text_bytes;
    id_bytes += uint64_t{row.id_bytes} + row.author_bytes;
  }
  if (tokens != entry.tokens || text_bytes != entry.text_bytes || id_bytes != shard.ids.bytes().size() ||
      tokens * static_cast<uint64_t>(token_bytes) != shard.tokens.bytes().size())
    throw damaged(path, "its totals are not the manifest's");
}

}  // namespace

struct ShardWriter::State {
  fs::path folder;
  uint64_t max_shard_tokens;
  ShardManifest manifest;
  std::map<std::string, std::unique_ptr<OpenShard>> open;

  void close(const std::string& split) {
    if (open[split]) manifest.splits[split].push_back(open[split]->finish());
    open[split].reset();
  }
};

ShardWriter::ShardWriter(fs::path shards_folder, Options options)
    : state_(new State{std::move(shards_folder), options.max_shard_tokens, {}, {}}) {
  state_->manifest.vocab_size = options.vocab_size;
  state_->manifest.token_bytes = options.vocab_size <= 65536 ? 2 : 4;
  state_->manifest.tokenizer_sha256 = options.tokenizer_sha256;
  for (const char* split : {"train", "valid"}) state_->manifest.splits[split];
}

ShardWriter::~ShardWriter() = default;

void ShardWriter::add(const std::string& split, const Sample& sample) {
  for (const TokenId token : sample.tokens)
    if (token < 0 || token >= state_->manifest.vocab_size)
      throw DataError(fmt::format("post {}: token {} is outside the vocabulary of {}", sample.post_id, token,
                                  state_->manifest.vocab_size));
  std::unique_ptr<OpenShard>& shard = state_->open[split];
  if (!shard)
    shard = std::make_unique<OpenShard>(state_->folder,
                                        fmt::format("{}-{:05}", split, state_->manifest.splits[split].size()));
  shard->add(sample, state_->manifest.token_bytes);
  if (shard->tokens() >= state_->max_shard_tokens) state_->close(split);
}

void ShardWriter::finish() {
  for (const char* split : {"train", "valid"}) state_->close(split);
  write_manifest(state_->folder, state_->manifest);
}

struct ShardReader::State {
  ShardManifest manifest;
  std::vector<MappedShard> shards;
  uint64_t samples = 0, tokens = 0, text_bytes = 0;

  void map(const fs::path& folder, const ShardEntry& entry) {
    MappedShard shard;
    shard.name = entry.name;
    shard.first_sample = samples;
    shard.tokens = map_checked(shard_path(folder, entry.name, "tokens"), entry.files.at("tokens"));
    shard.samples = map_checked(shard_path(folder, entry.name, "samples"), entry.files.at("samples"));
    shard.ids = map_checked(shard_path(folder, entry.name, "ids"), entry.files.at("ids"));
    check_rows(shard, entry, manifest.token_bytes, shard_path(folder, entry.name, "samples"));
    samples += entry.samples;
    tokens += entry.tokens;
    text_bytes += entry.text_bytes;
    shards.push_back(std::move(shard));
  }

  const MappedShard& shard_of(uint64_t index) const {
    if (index >= samples) throw DataError(fmt::format("sample {} of {}", index, samples));
    return *std::prev(std::upper_bound(shards.begin(), shards.end(), index,
                                       [](uint64_t i, const MappedShard& shard) { return i < shard.first_sample; }));
  }
};

ShardReader::ShardReader(const fs::path& shards_folder, const std::string& split) : state_(std::make_unique<State>()) {
  state_->manifest = read_manifest(shards_folder);
  const auto entries = state_->manifest.splits.find(split);
  if (entries == state_->manifest.splits.end())
    throw IoError(fmt::format("{}: no split \"{}\"; run `starling prepare`", shards_folder.string(), split));
  for (const ShardEntry& entry : entries->second) state_->map(shards_folder, entry);
}

ShardReader::~ShardReader() = default;

uint64_t ShardReader::sample_count() const { return state_->samples; }
uint64_t ShardReader::token_count() const { return state_->tokens; }
uint64_t ShardReader::text_bytes() const { return state_->text_bytes; }
int64_t ShardReader::vocab_size() const { return state_->manifest.vocab_size; }
std::string ShardReader::tokenizer_sha256() const { return state_->manifest.tokenizer_sha256; }

const std::string& ShardReader::shard_of(uint64_t index) const { return state_->shard_of(index).name; }

Sample ShardReader::sample(uint64_t index) const {
  const MappedShard& shard = state_->shard_of(index);
  const SampleRow row = shard.row(index - shard.first_sample);
  Sample sample;
  sample.text_bytes = row.text_bytes;
  sample.time_s = row.time_s;
  sample.post_id = shard.ids.text().substr(row.id_offset, row.id_bytes);
  sample.author = shard.ids.text().substr(row.id_offset + row.id_bytes, row.author_bytes);
  sample.tokens.assign(row.tokens, 0);
  const auto token_bytes = static_cast<size_t>(state_->manifest.token_bytes);
  const std::byte* from = shard.tokens.bytes().data() + row.token_offset * token_bytes;
  for (TokenId& token : sample.tokens) {
    std::memcpy(&token, from, token_bytes);
    from += token_bytes;
  }
  return sample;
}

}  // namespace starling
