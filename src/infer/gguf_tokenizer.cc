#include "infer/gguf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "tokenizer/byte_level_bpe.h"
#include "tokenizer/byte_level_texts.h"
#include "tokenizer/sentencepiece_bpe.h"

namespace starling {
namespace {

constexpr const char* kSpaceFirstKey = "tokenizer.ggml.add_space_prefix";  // of SentencePiece; true where it is missing
// Where another rule than the one that goes with its name holds for a vocabulary: keys of our own, which other engines
// pass over.
constexpr const char* kWholePiecesKey = "starling.tokenizer.ignore_merges";
constexpr const char* kNfcKey = "starling.tokenizer.nfc";

// A value of tokenizer.ggml.pre.
struct PreTokenizer {
  const char* name;
  SplitPattern pattern;
  bool whole_pieces_first = false, opens_texts = false;  // what llama.cpp does with this name
  bool nfc = false;                                      // what the tokenizer.json of such a model does
};

// Names and rules: llama.cpp (github.com/ggml-org/llama.cpp, src/llama-vocab.cpp). The first with a pattern and its
// rule about whole pieces is what we write.
constexpr PreTokenizer kPreTokenizers[] = {
    {"llama-bpe", SplitPattern::kCl100k, true, true},
    {"llama3", SplitPattern::kCl100k, true, true},
    {"llama-v3", SplitPattern::kCl100k, true, true},
    {"falcon3", SplitPattern::kCl100k, true, true},
    {"dbrx", SplitPattern::kCl100k},
    {"smaug-bpe", SplitPattern::kCl100k},
    {"qwen2", SplitPattern::kQwen2, false, false, true},
    {"deepseek-r1-qwen", SplitPattern::kQwen2},
    {"stablelm2", SplitPattern::kQwen2},
    {"megrez", SplitPattern::kQwen2},
    {"gpt-2", SplitPattern::kGpt2},
    {"phi-2", SplitPattern::kGpt2},
    {"roberta-bpe", SplitPattern::kGpt2},
    {"gigachat", SplitPattern::kGpt2},
    {"mpt", SplitPattern::kGpt2},
    {"olmo", SplitPattern::kGpt2},
    {"jais", SplitPattern::kGpt2},
    {"smollm", SplitPattern::kGpt2Digits},
    {"starcoder", SplitPattern::kGpt2Digits},
    {"refact", SplitPattern::kGpt2Digits},
    {"command-r", SplitPattern::kGpt2Digits},
    {"codeshell", SplitPattern::kGpt2Digits},
    {"exaone", SplitPattern::kGpt2Digits},
    {"minerva-7b", SplitPattern::kGpt2Digits},
    {"tekken", SplitPattern::kTekken, true, true},
    {"gpt-4o", SplitPattern::kO200k},
    {"llama4", SplitPattern::kO200k},
};

bool is_byte_level(const GgufFile& gguf) { return gguf.text("tokenizer.ggml.model") == "gpt2"; }

const PreTokenizer& pre_tokenizer_of(const GgufFile& gguf) {
  const std::string name = gguf.text("tokenizer.ggml.pre", "");
  for (const PreTokenizer& known : kPreTokenizers)
    if (name == known.name) return known;
  throw DataError(
      fmt::format("its pre-tokenizer {} is not known here; give the model's tokenizer.json with --tokenizer",
                  name.empty() ? "is not named (tokenizer.ggml.pre), so it" : "\"" + name + "\""));
}

// A name for the pattern, of those with the same rule about whole pieces when there is one.
const PreTokenizer& pre_tokenizer_of(const ByteLevelBpe& tokenizer) {
  const PreTokenizer* same_pattern = nullptr;
  for (const PreTokenizer& known : kPreTokenizers) {
    if (known.pattern != tokenizer.pattern()) continue;
    if (known.whole_pieces_first == tokenizer.whole_pieces_first()) return known;
    if (!same_pattern) same_pattern = &known;
  }
  return *same_pattern;  // every pattern has a name
}

bool flag(const GgufFile& gguf, const std::string& key, bool otherwise) {
  const auto found = gguf.metadata().find(key);
  if (found == gguf.metadata().end()) return otherwise;
  if (const bool* value = std::get_if<bool>(&found->second)) return *value;
  throw DataError(fmt::format("{} is not true or false", key));
}

TextFrame read_gguf_frame(const GgufFile& gguf, const ModelConfig& config, bool opens_texts) {
  TextFrame frame{.given = true};
  if (flag(gguf, "tokenizer.ggml.add_bos_token", opens_texts))
    frame.before.push_back(static_cast<TokenId>(config.bos_token));
  if (flag(gguf, "tokenizer.ggml.add_eos_token", false)) frame.after.push_back(static_cast<TokenId>(config.eos_token));
  return frame;
}

// The tokens that the file gives a part to are special whatever their type says: there are files whose end of a turn is
// an ordinary token.
std::vector<int32_t> read_types(const GgufFile& gguf, size_t tokens, const TextFrame& frame) {
  const std::vector<int64_t>& types = gguf.list<int64_t>("tokenizer.ggml.token_type");
  std::vector<int32_t> read;
  for (const int64_t type : types) read.push_back(type >= 1 && type <= 6 ? static_cast<int32_t>(type) : 1);
  if (read.size() != tokens)
    throw DataError(fmt::format("tokenizer.ggml.token_type has {} entries for {} tokens", read.size(), tokens));
  std::vector<int64_t> special(frame.before.begin(), frame.before.end());
  special.insert(special.end(), frame.after.begin(), frame.after.end());
  for (const char* name : {"eos", "eot", "eom"}) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    if (gguf.metadata().contains(key)) special.push_back(gguf.integer(key));
  }
  const auto check = [&](int64_t id) {
    if (id < 0 || id >= static_cast<int64_t>(tokens))
      throw DataError(fmt::format("the special token {} is outside the vocabulary of {}", id, tokens));
  };
  check(gguf_begin_token(gguf));
  for (const int64_t id : special) {
    check(id);
    int32_t& type = read[static_cast<size_t>(id)];
    if (type != PieceType::unknown) type = PieceType::control;
  }
  return read;
}

// ---- writing

struct GgufVocabulary {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;
};

GgufVocabulary vocabulary_of(const nlohmann::json& file, const Tokenizer& tokenizer, bool byte_level, int64_t size) {
  GgufVocabulary v;
  for (int64_t id = 0; id < size; ++id) v.tokens.push_back(fmt::format("[PAD{}]", id));
  v.types.assign(static_cast<size_t>(size), PieceType::unused);
  const auto set = [&](int64_t id, const std::string& token, int64_t type) {
    if (id < 0 || id >= size) throw DataError(fmt::format("token {} is outside the vocabulary of {}", id, size));
    v.tokens[static_cast<size_t>(id)] = token, v.types[static_cast<size_t>(id)] = type;
  };
  for (const auto& [token, id] : file.at("model").at("vocab").items())
    set(id, token, !byte_level && byte_of_piece(token) >= 0 ? PieceType::byte : PieceType::normal);
  for (const nlohmann::json& token : file.at("added_tokens"))
    set(token.at("id"), token.at("content"), PieceType::user_defined);
  for (const SpecialToken& token : tokenizer.special_tokens())
    set(token.id, token.text,
        file.at("model").value("unk_token", nlohmann::json()) == token.text ? PieceType::unknown : PieceType::control);
  return v;
}

std::vector<std::string> merges_of(const nlohmann::json& model) {
  std::vector<std::string> merges;
  for (const nlohmann::json& merge : model.at("merges")) {
    merges.push_back(merge.is_string() ? merge.get<std::string>()
                                       : merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
  }
  return merges;
}

// SentencePiece merges the pair whose piece has the highest score: the first merge that makes a piece gives its rank.
std::vector<double> scores_of(const GgufVocabulary& v, const std::vector<std::string>& merges) {
  std::map<std::string, double> rank;
  for (const std::string& merge : merges) {
    std::string piece = merge;
    piece.erase(piece.find(' '), 1);
    rank.emplace(piece, -static_cast<double>(rank.size()));
  }
  const double last = -static_cast<double>(rank.size());  // of pieces that no merge makes
  std::vector<double> scores;
  for (const std::string& token : v.tokens) {
    const auto found = rank.find(token);
    scores.push_back(found == rank.end() ? last : found->second);
  }
  return scores;
}

void add_pre_tokenizer(std::map<std::string, GgufValue>& metadata, const ByteLevelBpe& tokenizer) {
  const PreTokenizer& pre = pre_tokenizer_of(tokenizer);
  metadata["tokenizer.ggml.pre"] = std::string(pre.name);
  if (pre.whole_pieces_first != tokenizer.whole_pieces_first())
    metadata[kWholePiecesKey] = tokenizer.whole_pieces_first();
  if (pre.nfc != tokenizer.normalize_nfc()) metadata[kNfcKey] = tokenizer.normalize_nfc();
}

void add_frame(std::map<std::string, GgufValue>& metadata, const Tokenizer& tokenizer, const ModelConfig& config) {
  const std::vector<TokenId> opening = tokenizer.opening_tokens(static_cast<TokenId>(config.bos_token));
  const auto is_added = [&](int64_t id) {  // a config.json that says nothing names tokens that may be text
    const auto same = [id](const SpecialToken& token) { return token.id == id; };
    return std::ranges::any_of(tokenizer.special_tokens(), same) ||
           std::ranges::any_of(tokenizer.marker_tokens(), same);
  };
  const int64_t begin = opening.empty() ? config.bos_token : int64_t{opening.front()};
  if (is_added(begin)) metadata["tokenizer.ggml.bos_token_id"] = begin;
  if (is_added(config.eos_token)) metadata["tokenizer.ggml.eos_token_id"] = config.eos_token;
  metadata["tokenizer.ggml.add_bos_token"] = !opening.empty();
}

}  // namespace

int64_t gguf_begin_token(const GgufFile& gguf) {
  return gguf.integer("tokenizer.ggml.bos_token_id", is_byte_level(gguf) ? gguf_end_token(gguf) : 1);
}

int64_t gguf_end_token(const GgufFile& gguf) {
  return gguf.integer("tokenizer.ggml.eos_token_id", is_byte_level(gguf) ? 11 : 2);
}

std::unique_ptr<Tokenizer> read_gguf_tokenizer(const GgufFile& gguf, const ModelConfig& config) {
  const std::string model = gguf.text("tokenizer.ggml.model");
  const std::vector<std::string>& tokens = gguf.list<std::string>("tokenizer.ggml.tokens");
  if (model == "llama") {
    const std::vector<double>& scores = gguf.list<double>("tokenizer.ggml.scores");
    const TextFrame frame = read_gguf_frame(gguf, config, true);
    return make_sentencepiece_bpe(tokens, {scores.begin(), scores.end()}, read_types(gguf, tokens.size(), frame), frame,
                                  flag(gguf, kSpaceFirstKey, true));
  }
  if (model != "gpt2")
    throw DataError(
        fmt::format("its tokenizer is of the kind \"{}\"; give the model's tokenizer.json with --tokenizer", model));
  const PreTokenizer& pre = pre_tokenizer_of(gguf);
  const TextFrame frame = read_gguf_frame(gguf, config, pre.opens_texts);
  return make_byte_level_bpe({.tokens = tokens,
                              .types = read_types(gguf, tokens.size(), frame),
                              .merges = gguf.list<std::string>("tokenizer.ggml.merges"),
                              .pattern = pre.pattern,
                              .normalize_nfc = flag(gguf, kNfcKey, pre.nfc),
                              .whole_pieces_first = flag(gguf, kWholePiecesKey, pre.whole_pieces_first),
                              .frame = frame});
}

void add_gguf_tokenizer(std::map<std::string, GgufValue>& metadata, const std::filesystem::path& tokenizer_json,
                        const ModelConfig& config) {
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(tokenizer_json);
  const auto* byte_level = dynamic_cast<const ByteLevelBpe*>(tokenizer.get());
  const auto* pieces = dynamic_cast<const SentencePieceBpe*>(tokenizer.get());
  try {
    const nlohmann::json file = parse_json(read_file(tokenizer_json));
    const GgufVocabulary v = vocabulary_of(file, *tokenizer, byte_level != nullptr, config.vocab_size);
    const std::vector<std::string> merges = merges_of(file.at("model"));
    metadata["tokenizer.ggml.model"] = std::string(byte_level ? "gpt2" : "llama");
    metadata["tokenizer.ggml.tokens"] = v.tokens;
    metadata["tokenizer.ggml.token_type"] = v.types;
    if (byte_level) metadata["tokenizer.ggml.merges"] = merges, add_pre_tokenizer(metadata, *byte_level);
    else metadata["tokenizer.ggml.scores"] = scores_of(v, merges);
    if (pieces && !pieces->space_first()) metadata[kSpaceFirstKey] = false;
    add_frame(metadata, *tokenizer, config);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: not a tokenizer.json: {}", tokenizer_json.string(), error.what()));
  }
}

}  // namespace starling
