// What a language model has to beat, measured on the same data: a general compressor, a unigram and a 5-gram model.
#pragma once

#include "tokenizer/tokenizer.h"
#include "train/sample_source.h"

namespace starling {

// Bits per byte of the validation text: bits that the coder needs / bytes of text (Sample::text_bytes), as for a model.
struct BaselineScores {
  // liblzma, preset 9e: bytes added when the validation text follows the training text. Posts end with a line break.
  // The dictionary holds the last 128 MiB of training text.
  double xz_bits_per_byte = 0;
  // Tokens drawn independently, with add-one smoothing. The closing <|endofpost|> counts as a token of the post.
  double unigram_bits_per_byte = 0;
  // Interpolated modified Kneser-Ney of order 5 (kneser_ney.h); a post starts in the context <|beginofpost|>.
  double five_gram_bits_per_byte = 0;
};

// Learns from `train` and scores `valid`, both in tokens of `tokenizer`; masked samples are left out. About 100 bytes
// of memory a training token. Throws DataError when a split has no text, Error when a stop is requested.
BaselineScores score_baselines(const SampleSource& train, const SampleSource& valid, const Tokenizer& tokenizer);

}  // namespace starling
