// Byte-pair encodings, loaded from and saved as Hugging Face `tokenizer.json`:
//  - byte level (GPT-2 byte alphabet; trained here, or read from tiktoken's ranks), any bytes round-trip;
//  - SentencePiece style with byte fallback (Llama 2, TinyLlama; imported).
// encode() never produces an added token from text, special or not: "<|system|>" typed by a user becomes ordinary
// pieces. Only encode_with_special() does, and only those tokens that its caller names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace starling {

using TokenId = int32_t;

struct SpecialToken {
  TokenId id = 0;
  std::string text;  // "<|endofpost|>"
};

// Tokens that a model expects around a text, as tokenizer.json's post_processor says. encode() does not add them.
struct TextFrame {
  bool given = false;  // the file says so, be it that there are none
  std::vector<TokenId> before, after;
};

// The tokens of several texts: those of text i are ids[offsets[i]] ... ids[offsets[i + 1] - 1].
struct EncodedTexts {
  std::vector<TokenId> ids;
  std::vector<size_t> offsets;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // All of encoding is thread-safe. The time grows as n log n with the text, with or without spaces.
  std::vector<TokenId> encode(std::string_view text) const;
  // The same for text that follows other text in one prompt: SentencePiece puts no space before it.
  std::vector<TokenId> encode_continuation(std::string_view text) const;
  // Appends the tokens of `text`: without allocation when `ids` has room and the thread's earlier texts were as long.
  virtual void append_tokens(std::string_view text, std::vector<TokenId>& ids) const = 0;
  virtual void append_continuation(std::string_view text, std::vector<TokenId>& ids) const { append_tokens(text, ids); }
  // Many texts on all compute threads (core/threads.h).
  EncodedTexts encode_all(std::span<const std::string_view> texts) const;
  // As encode(), but where one of the special or marker tokens `allowed` is spelled out it is taken as that token (the
  // longest at a place), and the texts between are encoded one by one. For prompts the program writes, never for a
  // user's text. Throws DataError when `allowed` has an id that is neither.
  std::vector<TokenId> encode_with_special(std::string_view text, std::span<const TokenId> allowed) const;
  // Special tokens decode to nothing. Both throw DataError for an id outside the vocabulary.
  virtual std::string decode(std::span<const TokenId> ids) const = 0;
  virtual std::string token_bytes(TokenId id) const = 0;  // for streaming; "" for special tokens
  virtual int64_t vocab_size() const = 0;
  virtual const std::vector<SpecialToken>& special_tokens() const = 0;
  // Added tokens that are text ("special": false, <tool_call> of Qwen 2.5): they decode to what they spell and end no
  // answer. encode() gives them as little as special tokens.
  virtual const std::vector<SpecialToken>& marker_tokens() const = 0;
  virtual const TextFrame& frame() const = 0;
  // The tokens that open a text: the frame's. Where the file says nothing, `begin_token`, the model's, for the
  // platform's own vocabularies and for those in SentencePiece's style; no token for other vocabularies.
  std::vector<TokenId> opening_tokens(TokenId begin_token) const;
  virtual void save(const std::filesystem::path& tokenizer_json) const = 0;

  std::optional<TokenId> special_id(std::string_view text) const;  // exact text of a special token

  // A tokenizer.json, or tiktoken's ranks in a file named ENCODING.tiktoken (tiktoken_ranks.h). Throws DataError for a
  // kind of tokenizer.json that is not supported, naming what it found, ConfigError for another encoding.
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& path);

 private:
  virtual bool opens_texts() const = 0;  // where there is no frame
};

// The special tokens of the platform's own models, ids 0, 1, 2 in this order.
inline constexpr const char* kPadToken = "<|pad|>";
inline constexpr const char* kBeginToken = "<|beginofpost|>";
inline constexpr const char* kEndToken = "<|endofpost|>";

// Trains byte-level BPE by BpeTrainer (bpe_trainer.h). `next_text` returns false at the end.
std::unique_ptr<Tokenizer> train_byte_level_bpe(const std::function<bool(std::string&)>& next_text, int64_t vocab_size);

std::vector<ConfigKey> tokenizer_config_keys();  // tokenizer.vocab_size

// What a vocabulary of a GGUF file says of each token, in llama.cpp's numbering.
struct PieceType {
  enum : int32_t { normal = 1, unknown, control, user_defined, unused, byte };
};

// SentencePiece BPE from a vocabulary with scores, as GGUF files carry it. Unknown and control pieces are special. A
// user-defined one is a marker, unless it is a single character or spaces alone: that is ordinary text. `space_first`:
// a space is put before every text.
std::unique_ptr<Tokenizer> make_sentencepiece_bpe(std::vector<std::string> pieces, std::vector<float> scores,
                                                  std::vector<int32_t> types, TextFrame frame = {},
                                                  bool space_first = true);

}  // namespace starling
