#include "model/lora.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/random.h"
#include "core/threads.h"
#include "model/safetensors.h"
#include "ops/elementwise.h"
#include "ops/linear.h"

namespace starling {
namespace {

constexpr const char* kPrefix = "base_model.model.";  // what PEFT puts before a module's name
const std::vector<std::string> kSites[] = {
    {"q_proj", "k_proj", "v_proj"}, {"o_proj"}, {"gate_proj", "up_proj"}, {"down_proj"}};

std::vector<int64_t> shape_of(const ModelConfig& config, const std::string& weight) {
  for (const ParameterShape& parameter : parameter_shapes(config))
    if (parameter.name == weight) return parameter.shape;
  throw ConfigError(fmt::format("lora: the model has no matrix {}", weight));
}

bool is_target(const LoraOptions& options, const std::string& matrix) {
  return std::find(options.targets.begin(), options.targets.end(), matrix) != options.targets.end();
}

bool is_feed_forward(LoraSite site) { return site == LoraSite::gate_up || site == LoraSite::down; }

void check(const LoraOptions& options) {
  if (options.rank < 1 || options.rank > 4096)
    throw ConfigError(fmt::format("lora: the rank must be between 1 and 4096, not {}", options.rank));
  if (options.targets.empty()) throw ConfigError("lora: no target matrices are named");
  const LoraOptions all;
  for (const std::string& target : options.targets)
    if (std::find(all.targets.begin(), all.targets.end(), target) == all.targets.end())
      throw ConfigError(fmt::format("lora: \"{}\" is not one of {}", target, fmt::join(all.targets, ", ")));
}

void refuse_experts(const LoraOptions& options) {
  for (const LoraSite site : {LoraSite::gate_up, LoraSite::down})
    for (const std::string& matrix : kSites[static_cast<size_t>(site)])
      if (is_target(options, matrix))
        throw ConfigError(fmt::format(
            "lora: experts take no adapters, so {} is no target; name only q_proj, k_proj, v_proj and o_proj", matrix));
}

// y[n, first + c] += x[n, c], y in bf16 or f32, x in f32.
void add_columns(Tensor y, int64_t first, ConstTensor x) {
  const int64_t stride = y.extent(1), columns = x.extent(1);
  dispatch_float(y.dtype(), "lora y", [&]<class T>(T) {
    parallel_for(y.extent(0), 16, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        T* row = y.as<T>() + n * stride + first;
        const float* added = x.as<float>() + n * columns;
        for (int64_t c = 0; c < columns; ++c) row[c] = from_float<T>(to_float(row[c]) + added[c]);
      }
    });
  });
}

Tensor view(const Buffer& buffer, int64_t rows, int64_t columns) {
  return {buffer.tensor().data(), buffer.tensor().dtype(), {rows, columns}};
}

std::string tensor_name(const std::string& module, const char* which) {
  return fmt::format("{}{}.lora_{}.weight", kPrefix, module, which);
}

}  // namespace

Lora::Lora(const ModelConfig& config, const LoraOptions& options, DType compute, int64_t max_tokens)
    : options_((check(options), options)), scale_(options.alpha / static_cast<float>(options.rank)) {
  if (config.num_experts > 0) refuse_experts(options);
  for (int64_t layer = 0; layer < config.num_layers; ++layer)
    for (LoraSite which : {LoraSite::qkv, LoraSite::attention_out, LoraSite::gate_up, LoraSite::down})
      sites_.push_back(lay_out_site(config, layer, which));
  values_ = Buffer(DType::f32, {size_});
  gradients_ = Buffer(DType::f32, {size_});
  if (compute == DType::bf16) compute_ = Buffer(DType::bf16, {size_});
  compute_view_ = compute == DType::bf16 ? compute_.tensor() : values_.tensor();
  low_f32_ = Buffer(DType::f32, {max_tokens * most_low_});
  low_ = Buffer(compute, {max_tokens * most_low_});
  dlow_ = Buffer(compute, {max_tokens * most_low_});
  if (compute == DType::bf16) wide_ = Buffer(DType::f32, {max_tokens * widest_});
}

Lora::Site Lora::lay_out_site(const ModelConfig& config, int64_t layer, LoraSite which) {
  Site site;
  int64_t row = 0;
  if (config.num_experts > 0 && is_feed_forward(which)) return site;  // no such matrix
  const std::string module = is_feed_forward(which) ? "mlp." : parameter_names(config).attention;
  for (const std::string& matrix : kSites[static_cast<size_t>(which)]) {
    const std::string name = fmt::format("model.layers.{}.{}{}", layer, module, matrix);
    const std::vector<int64_t> shape = shape_of(config, name + ".weight");
    if (is_target(options_, matrix)) site.push_back({name, row, shape[1], shape[0], 0, 0});
    row += shape[0];
    widest_ = std::max({widest_, shape[0], shape[1]});
  }
  for (Part& part : site) part.a = size_, size_ += options_.rank * part.in;
  for (Part& part : site) part.b = size_, size_ += options_.rank * part.out;
  most_low_ = std::max(most_low_, static_cast<int64_t>(site.size()) * options_.rank);
  return site;
}

Tensor Lora::a_of(Tensor flat, const Site& site) const {
  const int64_t rows = static_cast<int64_t>(site.size()) * options_.rank, in = site.front().in;
  return {flat.rows(site.front().a, rows * in).data(), flat.dtype(), {rows, in}};
}

Tensor Lora::a_of(Tensor flat, const Part& part) const {
  return {flat.rows(part.a, options_.rank * part.in).data(), flat.dtype(), {options_.rank, part.in}};
}

Tensor Lora::b_of(Tensor flat, const Part& part) const {
  return {flat.rows(part.b, options_.rank * part.out).data(), flat.dtype(), {part.out, options_.rank}};
}

void Lora::initialize(uint64_t seed) {
  std::memset(values().data(), 0, static_cast<size_t>(values().bytes()));
  for (size_t s = 0; s < sites_.size(); ++s)
    for (const Part& part : sites_[s]) {
      float* a = a_of(values(), part).as<float>();
      const float deviation = 1.0f / std::sqrt(static_cast<float>(part.in));
      for (int64_t i = 0; i < options_.rank * part.in; ++i)
        a[i] = deviation * random_normal(seed, s, static_cast<uint64_t>(part.a + i));
    }
  refresh_compute();
}

void Lora::refresh_compute() {
  if (compute_view_.dtype() == DType::bf16) convert(compute_view_, values());
}

Tensor Lora::low_of(const Site& site, ConstTensor x) {
  const int64_t n = x.extent(0), columns = static_cast<int64_t>(site.size()) * options_.rank;
  const Tensor low_f32 = view(low_f32_, n, columns), low = view(low_, n, columns);
  linear_forward(low_f32, x, a_of(compute_view_, site));
  scale(low_f32, scale_);
  convert(low, low_f32);
  return low;
}

void Lora::add_product(Tensor y, int64_t first, ConstMatrix a, ConstMatrix b) {
  if (y.dtype() == DType::f32) return matmul(block(as_matrix(y), 0, a.rows, first, b.columns), a, b, Accumulate::yes);
  const Tensor product = view(wide_, a.rows, b.columns);
  matmul(as_matrix(product), a, b);
  add_columns(y, first, product);
}

void Lora::forward(int64_t layer, LoraSite which, Tensor y, ConstTensor x) {
  const Site& parts = site(layer, which);
  if (parts.empty()) return;
  const ConstMatrix low = as_matrix(low_of(parts, x));
  for (size_t i = 0; i < parts.size(); ++i)
    add_product(y, parts[i].first_row, block(low, 0, low.rows, static_cast<int64_t>(i) * options_.rank, options_.rank),
                transposed(as_matrix(b_of(compute_view_, parts[i]))));
}

// With u = (alpha / r) A x:  dB = dy^T u,  du = dy B,  dA = (alpha / r) du^T x,  dx = (alpha / r) du A.
void Lora::backward(int64_t layer, LoraSite which, Tensor dx, ConstTensor dy, ConstTensor x) {
  const Site& parts = site(layer, which);
  if (parts.empty()) return;
  const int64_t n = x.extent(0), r = options_.rank, columns = static_cast<int64_t>(parts.size()) * r;
  const ConstMatrix low = as_matrix(low_of(parts, x)), dwide = as_matrix(dy);
  const Tensor dlow_f32 = view(low_f32_, n, columns), dlow = view(dlow_, n, columns);
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto first = static_cast<int64_t>(i) * r;
    const ConstMatrix dpart = block(dwide, 0, n, parts[i].first_row, parts[i].out);
    matmul(as_matrix(b_of(gradients(), parts[i])), transposed(dpart), block(low, 0, n, first, r), Accumulate::yes);
    matmul(block(as_matrix(dlow_f32), 0, n, first, r), dpart, as_matrix(b_of(compute_view_, parts[i])));
  }
  scale(dlow_f32, scale_);
  convert(dlow, dlow_f32);
  linear_backward_weight(a_of(gradients(), parts), dlow, x);
  add_product(dx, 0, as_matrix(dlow), as_matrix(a_of(compute_view_, parts)));
}

void Lora::merge_into(Parameters& parameters) const {
  for (const Site& parts : sites_)
    for (const Part& part : parts) {
      const size_t index = parameters.index_of(part.name + ".weight");
      Buffer merged(DType::f32, {part.out, part.in});
      convert(merged.tensor(), parameters.weight(index));
      Buffer scaled(DType::f32, {part.out, options_.rank});
      convert(scaled.tensor(), b_of(values(), part));
      scale(scaled.tensor(), scale_);
      matmul(as_matrix(merged.tensor()), as_matrix(scaled.tensor()), as_matrix(a_of(values(), part)), Accumulate::yes);
      parameters.assign(index, merged.tensor());
    }
}

void Lora::save(const std::filesystem::path& folder, const std::string& base) const {
  std::vector<TensorToWrite> tensors;
  const auto add = [&](const std::string& name, Tensor tensor) {
    tensors.push_back(
        {name, "F32", {tensor.extent(0), tensor.extent(1)}, tensor.data(), static_cast<size_t>(tensor.bytes())});
  };
  for (const Site& parts : sites_)
    for (const Part& part : parts) {
      add(tensor_name(part.name, "A"), a_of(values(), part));
      add(tensor_name(part.name, "B"), b_of(values(), part));
    }
  write_safetensors(folder / "adapter_model.safetensors", tensors, {{"format", "pt"}});
  const nlohmann::ordered_json json = {{"peft_type", "LORA"},
                                       {"task_type", "CAUSAL_LM"},
                                       {"base_model_name_or_path", base},
                                       {"r", options_.rank},
                                       {"lora_alpha", options_.alpha},
                                       {"lora_dropout", 0.0},
                                       {"target_modules", options_.targets},
                                       {"bias", "none"},
                                       {"fan_in_fan_out", false},
                                       {"inference_mode", true}};
  write_file_atomic(folder / "adapter_config.json", dump_json(json, 2) + "\n");
}

void Lora::load(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "adapter_model.safetensors";
  const SafetensorsFile file(path);
  std::set<std::string> known;
  const auto read = [&](const std::string& name, Tensor to) {
    known.insert(name);
    const TensorInfo& info = file.tensor(name);
    if (info.shape != std::vector<int64_t>{to.extent(0), to.extent(1)})
      throw DataError(fmt::format("{}: tensor {} has shape [{}], the model and adapter_config.json want {}",
                                  path.string(), name, fmt::join(info.shape, ", "), to.shape().to_string()));
    if (info.dtype == "F32") std::memcpy(to.data(), info.bytes.data(), info.bytes.size());
    else if (info.dtype == "BF16") convert(to, {info.bytes.data(), DType::bf16, to.shape()});
    else throw DataError(fmt::format("{}: tensor {} is {}, not F32 or BF16", path.string(), name, info.dtype));
  };
  for (const Site& parts : sites_)
    for (const Part& part : parts) {
      read(tensor_name(part.name, "A"), a_of(values(), part));
      read(tensor_name(part.name, "B"), b_of(values(), part));
    }
  // A head or a bias that was trained too would be left out in silence.
  for (const auto& [name, info] : file.tensors())
    if (!known.contains(name))
      throw DataError(
          fmt::format("{}: tensor {} belongs to none of the adapters of adapter_config.json", path.string(), name));
  refresh_compute();
}

LoraOptions Lora::read_options(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "adapter_config.json";
  try {
    const nlohmann::json json = parse_json(read_file(path));
    if (json.at("peft_type") != "LORA") throw ConfigError("peft_type is not LORA");
    if (json.value("use_dora", false) || json.value("use_rslora", false) || json.value("bias", "none") != "none")
      throw ConfigError("use_dora, use_rslora and trained biases are not supported");
    for (const char* key : {"alpha_pattern", "rank_pattern"})
      if (const auto pattern = json.find(key); pattern != json.end() && !pattern->empty())
        throw ConfigError(fmt::format("{} is not supported: one rank and one alpha hold for all matrices", key));
    LoraOptions options{json.at("r"), json.at("lora_alpha"), json.at("target_modules")};
    check(options);
    return options;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("{}: not a LoRA adapter_config.json: {}", path.string(), error.what()));
  } catch (const ConfigError& error) {
    throw DataError(fmt::format("{}: {}", path.string(), error.what()));
  }
}

}  // namespace starling
