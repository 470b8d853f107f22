#include "train/baseline.h"

#include <fmt/format.h>
#include <lzma.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/stop.h"
#include "train/kneser_ney.h"

namespace starling {
namespace {

constexpr int kOrder = 5;
constexpr size_t kXzDictionary = size_t{128} << 20;

// One split: every sample's tokens after <|beginofpost|>, and the text.
struct Corpus {
  std::vector<TokenId> tokens;
  std::string text;
  double text_bytes = 0;
};

Corpus read_corpus(const SampleSource& source, const Tokenizer& tokenizer, TokenId begin) {
  Corpus corpus;
  for (uint64_t i = 0; i < source.count; ++i) {
    if (stop_requested()) throw Error("stopped while the samples for the baselines were being read");
    const Sample sample = source.read(i);
    if (source.is_masked && source.is_masked(sample)) continue;
    corpus.tokens.push_back(begin);
    corpus.tokens.insert(corpus.tokens.end(), sample.tokens.begin(), sample.tokens.end());
    corpus.text += tokenizer.decode(sample.tokens) + '\n';
    corpus.text_bytes += sample.text_bytes;
  }
  if (corpus.text_bytes == 0)
    throw DataError("a split of the shards has no text; run `starling prepare` with more posts");
  return corpus;
}

double unigram_bits(const Corpus& train, const Corpus& valid, TokenId begin, int64_t vocab_size) {
  std::vector<double> count(vocab_size, 1.0);
  double total = static_cast<double>(vocab_size);
  for (const TokenId token : train.tokens) {
    if (token != begin) ++count.at(token), ++total;
  }
  double bits = 0;
  for (const TokenId token : valid.tokens) {
    if (token != begin) bits -= std::log2(count.at(token) / total);
  }
  return bits;
}

double five_gram_bits(const Corpus& train, const Corpus& valid, TokenId begin, int64_t vocab_size) {
  const KneserNey model(train.tokens, begin, vocab_size, kOrder);
  double bits = 0;
  size_t sample_start = 0;
  for (size_t i = 0; i < valid.tokens.size(); ++i) {
    if (valid.tokens[i] == begin) {
      sample_start = i;
      continue;
    }
    const size_t first = std::max(sample_start, i < kOrder ? 0 : i - (kOrder - 1));
    bits -= std::log2(model.probability(std::span(valid.tokens).subspan(first, i - first), valid.tokens[i]));
  }
  return bits;
}

// An LZMA2 stream whose output is counted and thrown away.
class XzCounter {
 public:
  explicit XzCounter(size_t dictionary) {
    lzma_options_lzma options;
    lzma_lzma_preset(&options, 9 | LZMA_PRESET_EXTREME);
    options.dict_size = static_cast<uint32_t>(std::max<size_t>(dictionary, LZMA_DICT_SIZE_MIN));
    const lzma_filter filters[] = {{.id = LZMA_FILTER_LZMA2, .options = &options},
                                   {.id = LZMA_VLI_UNKNOWN, .options = nullptr}};
    if (lzma_raw_encoder(&stream_, filters) != LZMA_OK) throw Error("xz: the compressor could not start (memory?)");
  }
  ~XzCounter() { lzma_end(&stream_); }
  XzCounter(const XzCounter&) = delete;
  XzCounter& operator=(const XzCounter&) = delete;

  // Bytes that `text` adds to the stream.
  uint64_t add(std::string_view text) {
    const uint64_t before = stream_.total_out;
    stream_.next_in = reinterpret_cast<const uint8_t*>(text.data());
    stream_.avail_in = text.size();
    uint8_t buffer[1 << 16];
    for (lzma_ret status = LZMA_OK; status != LZMA_STREAM_END;) {
      if (stop_requested()) throw Error("stopped while xz compressed the text");
      stream_.next_out = buffer;
      stream_.avail_out = sizeof buffer;
      status = lzma_code(&stream_, LZMA_SYNC_FLUSH);  // everything so far, without forgetting what was learned
      if (status != LZMA_OK && status != LZMA_STREAM_END)
        throw Error(fmt::format("xz: compression failed ({})", static_cast<int>(status)));
    }
    return stream_.total_out - before;
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

double xz_bits(const Corpus& train, const Corpus& valid) {
  const size_t start = train.text.size() - std::min(train.text.size(), kXzDictionary);
  const std::string_view seen = std::string_view(train.text).substr(start);
  XzCounter counter(std::min(kXzDictionary, seen.size() + valid.text.size()));
  counter.add(seen);
  return 8.0 * static_cast<double>(counter.add(valid.text));
}

}  // namespace

BaselineScores score_baselines(const SampleSource& train, const SampleSource& valid, const Tokenizer& tokenizer) {
  const std::optional<TokenId> begin = tokenizer.special_id(kBeginToken);
  if (!begin)
    throw DataError(fmt::format("the tokenizer has no {} token; the baselines need the platform's own", kBeginToken));
  const Corpus seen = read_corpus(train, tokenizer, *begin), held_out = read_corpus(valid, tokenizer, *begin);
  const int64_t vocab_size = tokenizer.vocab_size();
  return {.xz_bits_per_byte = xz_bits(seen, held_out) / held_out.text_bytes,
          .unigram_bits_per_byte = unigram_bits(seen, held_out, *begin, vocab_size) / held_out.text_bytes,
          .five_gram_bits_per_byte = five_gram_bits(seen, held_out, *begin, vocab_size) / held_out.text_bytes};
}

}  // namespace starling
