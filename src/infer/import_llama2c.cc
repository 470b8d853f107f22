// A checkpoint of llama2.c (legacy version 0), with its tokenizer.bin behind it or a tokenizer.json from elsewhere.
// Source: https://github.com/karpathy/llama2.c (export.py, run.c). Seven int32 (dim, hidden_dim, n_layers, n_heads,
// n_kv_heads, vocab_size, seq_len; a negative vocab_size: the head is not tied), then f32 tensors, each for all layers
// at once.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "core/error.h"
#include "core/file.h"
#include "infer/gguf_names.h"
#include "infer/importers.h"
#include "model/config.h"
#include "model/safetensors.h"
#include "tokenizer/tokenizer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

class Reader {
 public:
  explicit Reader(std::string_view data) : data_(data) {}
  std::string_view take(uint64_t bytes, const char* what) {
    if (bytes > data_.size())
      throw DataError(fmt::format("{}: {} bytes are needed and {} are left; the file is cut short or not llama2.c",
                                  what, bytes, data_.size()));
    const std::string_view part = data_.substr(0, bytes);
    data_.remove_prefix(bytes);
    return part;
  }
  template <class T>
  T value(const char* what) {
    T result;
    std::memcpy(&result, take(sizeof(T), what).data(), sizeof(T));
    return result;
  }
  bool at_end() const { return data_.empty(); }

 private:
  std::string_view data_;
};

ModelConfig read_config(Reader& reader) {
  int32_t header[7];
  for (int32_t& field : header) field = reader.value<int32_t>("header");
  // 2^20 bounds every product below.
  for (int32_t field : header) {
    if (field == 0 || std::abs(static_cast<int64_t>(field)) > 1 << 20)
      throw DataError("the header is not that of a llama2.c checkpoint");
  }
  ModelConfig config;
  config.hidden_size = header[0];
  config.intermediate_size = header[1];
  config.num_layers = header[2];
  config.num_heads = header[3];
  config.num_kv_heads = header[4];
  config.vocab_size = std::abs(header[5]);
  config.tied_head = header[5] > 0;
  config.max_positions = header[6];
  config.rms_norm_eps = 1e-5f;  // run.c
  config.check();
  return config;
}

// Rows of each head from pairs (2i, 2i + 1) to pairs (i, i + d/2), as Hugging Face has them.
std::string split_rotary_pairs(std::string_view matrix, int64_t d, size_t row_bytes) {
  std::string out;
  for (int64_t row = 0; out.size() < matrix.size(); ++row)
    out += matrix.substr(static_cast<size_t>(paired_row(row, d)) * row_bytes, row_bytes);
  return out;
}

class Converter {
 public:
  Converter(Reader& reader, const ModelConfig& config) : reader_(reader), config_(config) {}

  void write(const fs::path& path) {
    const ModelConfig& c = config_;
    add("model.embed_tokens.weight", {c.vocab_size, c.hidden_size});
    add_layers("input_layernorm.weight", {c.hidden_size});
    add_layers("self_attn.q_proj.weight", {c.hidden_size, c.hidden_size}, true);
    add_layers("self_attn.k_proj.weight", {c.kv_size(), c.hidden_size}, true);
    add_layers("self_attn.v_proj.weight", {c.kv_size(), c.hidden_size});
    add_layers("self_attn.o_proj.weight", {c.hidden_size, c.hidden_size});
    add_layers("post_attention_layernorm.weight", {c.hidden_size});
    add_layers("mlp.gate_proj.weight", {c.intermediate_size, c.hidden_size});
    add_layers("mlp.down_proj.weight", {c.hidden_size, c.intermediate_size});
    add_layers("mlp.up_proj.weight", {c.intermediate_size, c.hidden_size});
    add("model.norm.weight", {c.hidden_size});
    reader_.take(static_cast<uint64_t>(c.max_positions * c.head_size()) * sizeof(float),
                 "rotary tables");  // computed anew
    if (!c.tied_head) add("lm_head.weight", {c.vocab_size, c.hidden_size});
    write_safetensors(path, tensors_, {{"format", "pt"}});
  }

 private:
  void add_layers(const std::string& name, const std::vector<int64_t>& shape, bool paired = false) {
    for (int64_t layer = 0; layer < config_.num_layers; ++layer)
      add(fmt::format("model.layers.{}.{}", layer, name), shape, paired);
  }
  void add(const std::string& name, const std::vector<int64_t>& shape, bool paired = false) {
    const size_t row_bytes = static_cast<size_t>(shape.back()) * sizeof(float);
    std::string_view bytes = reader_.take(row_bytes * (shape.size() == 2 ? shape[0] : 1), name.c_str());
    if (paired) bytes = reordered_.emplace_back(split_rotary_pairs(bytes, config_.head_size(), row_bytes));
    tensors_.push_back({name, "F32", shape, bytes.data(), bytes.size()});
  }
  Reader& reader_;
  const ModelConfig& config_;
  std::deque<std::string> reordered_;
  std::vector<TensorToWrite> tensors_;
};

std::string with_space_marks(std::string_view text) {
  std::string out;
  for (char c : text) c == ' ' ? out += "\u2581" : out += c;
  return out;
}

// tokenizer.bin: int32 longest piece, then for each piece f32 score, int32 length, bytes. Pieces 0-2 are unknown,
// begin, end; 3-258 are the bytes.
void write_tokenizer(Reader& reader, int64_t vocab_size, const fs::path& path) {
  std::vector<std::string> pieces;
  std::vector<float> scores;
  std::vector<int32_t> types;
  reader.value<int32_t>("tokenizer");
  for (int64_t id = 0; id < vocab_size; ++id) {
    scores.push_back(reader.value<float>("tokenizer"));
    const auto length = reader.value<int32_t>("tokenizer");
    if (length < 0) throw DataError(fmt::format("tokenizer: piece {} has a negative length", id));
    const std::string_view text = reader.take(static_cast<uint64_t>(length), "tokenizer");
    const bool byte = id >= 3 && id < 259;
    pieces.push_back(id == 0   ? "<unk>"
                     : id == 1 ? "<s>"
                     : id == 2 ? "</s>"
                     : byte    ? fmt::format("<0x{:02X}>", id - 3)
                               : with_space_marks(text));
    types.push_back(id == 0 ? 2 : id < 3 ? 3 : byte ? 6 : 1);
  }
  make_sentencepiece_bpe(std::move(pieces), std::move(scores), std::move(types))->save(path);
}

}  // namespace

void import_llama2c(const fs::path& file, const fs::path& folder) {
  const MappedFile map(file);
  try {
    Reader reader(map.text());
    const ModelConfig config = read_config(reader);
    Converter(reader, config).write(folder / "model.safetensors");
    config.save(folder / "config.json");
    if (fs::exists(folder / "tokenizer.json")) return;
    if (reader.at_end()) throw DataError("no tokenizer follows the weights; give a tokenizer.json with --tokenizer");
    write_tokenizer(reader, config.vocab_size, folder / "tokenizer.json");
  } catch (const ConfigError& error) {
    throw DataError(fmt::format("{}: {}", file.string(), error.what()));
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", file.string(), error.what()));
  }
}

}  // namespace starling
