// Where weights come from: safetensors files and GGUF.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <immintrin.h>

#include <bit>
#include <cstring>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "infer/gguf_names.h"
#include "infer/weights.h"
#include "model/gguf.h"
#include "model/safetensors.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

class SafetensorsReader : public TensorReader {
 public:
  SafetensorsReader(const TensorInfo& info, GgufType type) : info_(info), type_(type) {}
  std::vector<int64_t> shape() const override { return info_.shape; }
  void read_row(int64_t row, std::span<float> out) const override {
    const size_t row_bytes = out.size() * gguf_block(type_).bytes;
    decode_gguf_blocks(type_, info_.bytes.subspan(static_cast<size_t>(row) * row_bytes, row_bytes), out);
  }

 private:
  const TensorInfo& info_;
  GgufType type_;
};

class SafetensorsSource : public WeightSource {
 public:
  explicit SafetensorsSource(const std::vector<fs::path>& paths) {
    for (const fs::path& path : paths) {
      files_.emplace_back(path);
      for (const auto& [name, info] : files_.back().tensors()) owner_[name] = files_.size() - 1;
    }
    folder_ = paths.front().parent_path().string();
  }

  size_t tensor_count() const override { return owner_.size(); }

  std::unique_ptr<TensorReader> open(const std::string& name) const override {
    const auto found = owner_.find(name);
    if (found == owner_.end())
      throw DataError(fmt::format("{}: tensor {} is missing from the safetensors files", folder_, name));
    const TensorInfo& info = files_[found->second].tensor(name);
    if (info.dtype == "F32") return std::make_unique<SafetensorsReader>(info, GgufType::f32);
    if (info.dtype == "F16") return std::make_unique<SafetensorsReader>(info, GgufType::f16);
    if (info.dtype == "BF16") return std::make_unique<SafetensorsReader>(info, GgufType::bf16);
    throw DataError(
        fmt::format("{}: tensor {} has dtype {}; F32, F16 and BF16 are supported", folder_, name, info.dtype));
  }

 private:
  std::string folder_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, size_t> owner_;
};

// `rotary_head` > 0: rows of a query or key matrix whose heads of that size have their rotary pairs side by side,
// (2i, 2i + 1), as ggml and llama2.c keep them; they are read in the order (i, i + d/2).
// `expert` >= 0: one matrix of a tensor [E, rows, cols].
class GgufReader : public TensorReader {
 public:
  GgufReader(const GgufTensor& tensor, int64_t rotary_head, int64_t expert)
      : tensor_(tensor), rotary_head_(rotary_head), expert_(expert) {}
  std::vector<int64_t> shape() const override {
    return expert_ < 0 ? tensor_.shape : std::vector<int64_t>(tensor_.shape.begin() + 1, tensor_.shape.end());
  }
  void read_row(int64_t row, std::span<float> out) const override {
    decode_gguf_blocks(tensor_.type, row_bytes(row, static_cast<int64_t>(out.size())), out);
  }
  const std::array<int8_t, 16>* codebook() const override {
    return tensor_.type == GgufType::iq2_xxs ? &kIq2Codebook : nullptr;
  }
  void read_code4_row(int64_t row, std::span<int8_t> codes, std::span<float> scales) const override {
    decode_iq2_xxs_codes(row_bytes(row, static_cast<int64_t>(codes.size())), codes, scales);
  }

 private:
  std::span<const std::byte> row_bytes(int64_t row, int64_t cols) const {
    const GgufBlock block = gguf_block(tensor_.type);
    const size_t bytes = static_cast<size_t>(cols / block.values) * block.bytes;
    return tensor_.bytes.subspan(static_cast<size_t>(stored_row(row)) * bytes, bytes);
  }
  int64_t stored_row(int64_t row) const {
    if (expert_ >= 0) return expert_ * tensor_.shape[1] + row;
    return rotary_head_ == 0 ? row : paired_row(row, rotary_head_);
  }
  const GgufTensor& tensor_;
  int64_t rotary_head_, expert_;
};

class GgufSource : public WeightSource {
 public:
  GgufSource(const fs::path& path, const ModelConfig& config) : path_(path.string()), file_(path), config_(config) {}

  size_t tensor_count() const override { return file_.tensors().size(); }

  std::unique_ptr<TensorReader> open(const std::string& name) const override {
    const GgufName there = gguf_name(name);
    const auto& tensors = file_.tensors();
    if (const auto alone = tensors.find(there.expert_on_its_own); alone != tensors.end())
      return std::make_unique<GgufReader>(alone->second, 0, -1);
    const auto found = tensors.find(there.tensor);
    if (found == tensors.end())
      throw DataError(fmt::format("{}: tensor {} ({}) is missing", path_, there.tensor, name));
    const std::vector<int64_t>& shape = found->second.shape;
    if (there.expert >= 0 && (shape.size() != 3 || shape[0] != config_.num_experts))
      throw DataError(fmt::format("{}: tensor {} has the shape [{}], not one matrix for each of {} experts", path_,
                                  there.tensor, fmt::join(shape, ", "), config_.num_experts));
    return std::make_unique<GgufReader>(found->second, has_paired_rows(name, config_) ? config_.head_size() : 0,
                                        there.expert);
  }

 private:
  std::string path_;
  GgufFile file_;
  ModelConfig config_;
};

std::vector<fs::path> shard_paths(const fs::path& index_json) {
  try {
    const nlohmann::json index = parse_json(read_file(index_json));
    std::set<fs::path> paths;
    for (const auto& [tensor, file] : index.at("weight_map").items()) {
      const fs::path name = file.get<std::string>();
      if (name != name.filename())
        throw DataError(fmt::format("{}: shard {} is outside the folder", index_json.string(), name.string()));
      paths.insert(index_json.parent_path() / name);
    }
    if (paths.empty()) throw DataError(fmt::format("{}: names no shards", index_json.string()));
    return {paths.begin(), paths.end()};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: not an index of safetensors shards: {}", index_json.string(), error.what()));
  }
}

std::unique_ptr<WeightSource> open_any(const fs::path& folder, const ModelConfig& config) {
  const fs::path one = folder / "model.safetensors", index = folder / "model.safetensors.index.json",
                 gguf = folder / "model.gguf";
  if (fs::exists(one)) return std::make_unique<SafetensorsSource>(std::vector<fs::path>{one});
  if (fs::exists(index)) return std::make_unique<SafetensorsSource>(shard_paths(index));
  if (fs::exists(gguf)) return std::make_unique<GgufSource>(gguf, config);
  throw IoError(fmt::format(
      "{}: no model.safetensors, model.safetensors.index.json or model.gguf; train a model or run `starling import`",
      folder.string()));
}

}  // namespace

std::unique_ptr<WeightSource> open_weights(const fs::path& folder, const ModelConfig& config) {
  std::unique_ptr<WeightSource> source = open_any(folder, config);
  // A damaged count of layers must not become a list of billions of names.
  if (static_cast<uint64_t>(config.num_layers) > source->tensor_count()) {
    throw DataError(fmt::format("{}: config.json asks for {} layers, the weights hold {} tensors", folder.string(),
                                config.num_layers, source->tensor_count()));
  }
  return source;
}

uint64_t weight_file_bytes(const fs::path& folder) {
  uint64_t bytes = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const fs::path kind = entry.path().extension();
    if (entry.is_regular_file() && (kind == ".safetensors" || kind == ".gguf")) bytes += entry.file_size();
  }
  return bytes;
}

}  // namespace starling
