#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/time.h"
#include "server/completion_call.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"

namespace starling {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMaxInputs = 2048;  // OpenAI's; its clients cut longer lists into parts of so many, or of 512

// Each input's tokens, first those that open a text of the model. An input is a text or a list of tokens.
std::vector<std::vector<TokenId>> inputs(const JsonBody& body, const Engine& engine) {
  const json& given = body.require("input");
  const bool one = given.is_string() || (given.is_array() && !given.empty() && given[0].is_number());
  const json list = one ? json::array({given}) : given;
  const auto fits = [](const json& item) {
    return item.is_array() || (item.is_string() && !item.get_ref<const std::string&>().empty());
  };
  if (!list.is_array() || list.empty() || list.size() > kMaxInputs || !std::all_of(list.begin(), list.end(), fits))
    throw wrong_field("input",
                      fmt::format("a text, a list of tokens, or a list of 1 to {} of them, none empty", kMaxInputs));
  std::vector<std::vector<TokenId>> inputs;
  for (const json& item : list) {
    if (item.is_string()) {
      inputs.push_back(engine.text_tokens(item.get<std::string>()));
      continue;
    }
    std::vector<TokenId>& tokens = inputs.emplace_back(tokens_of(item, engine, "input"));
    const std::vector<TokenId> opening =
        engine.tokenizer().opening_tokens(static_cast<TokenId>(engine.config().bos_token));
    const auto there = std::mismatch(opening.begin(), opening.end(), tokens.begin(), tokens.end()).first;
    if (there != opening.end()) tokens.insert(tokens.begin(), opening.begin(), opening.end());
  }
  return inputs;
}

// The values as little-endian f32 in base64: what OpenAI's own clients ask for.
std::string to_base64(const std::vector<float>& values) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  const int size = static_cast<int>(values.size() * sizeof(float));
  std::string text(4 * ((size + 2) / 3) + 1, '\0');  // EVP_EncodeBlock also writes a closing NUL
  text.resize(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, size));
  return text;
}

// The first values, scaled to length one again.
void shorten(std::vector<float>& vector, size_t dimensions) {
  if (dimensions >= vector.size()) return;
  vector.resize(dimensions);
  double square = 0;
  for (const float value : vector) square += static_cast<double>(value) * value;
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  for (float& value : vector) value = static_cast<float>(value * scale);
}

// The elements of `data`, each made into text by itself: as one tree of JSON they take many times the memory.
std::string rows_of(const std::vector<std::vector<float>>& vectors, bool base64) {
  std::string rows;
  for (size_t i = 0; i < vectors.size(); ++i) {
    ordered_json row = {{"object", "embedding"}, {"index", i}};
    if (base64) row["embedding"] = to_base64(vectors[i]);
    else row["embedding"] = vectors[i];
    rows += (i == 0 ? "" : ",") + dump_json(row);
  }
  return rows;
}

// How many tokens the inputs have; each must fit the model's context.
size_t count_tokens(const Engine& engine, const std::vector<std::vector<TokenId>>& inputs) {
  size_t total = 0;
  for (const std::vector<TokenId>& input : inputs) {
    if (input.size() > static_cast<size_t>(engine.config().max_positions))
      throw HttpError(
          400, "context_length_exceeded",
          fmt::format("an input has {} tokens; the model's context is {}", input.size(), engine.config().max_positions),
          "input");
    total += input.size();
  }
  return total;
}

}  // namespace

Response create_embeddings(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const std::shared_ptr<Engine> held = platform.models.require_embedder(body.text("model", ""));
  Engine& engine = *held;
  const std::vector<std::vector<TokenId>> given = inputs(body, engine);
  const std::string format = body.text("encoding_format", "float");
  if (format != "float" && format != "base64") throw wrong_field("encoding_format", "float or base64");
  const int64_t width = engine.config().hidden_size;
  const int64_t dimensions = body.integer("dimensions", width, 1, width);
  const size_t tokens = count_tokens(engine, given);
  const Service service = service_of(body, request);
  const auto quota = platform.quota.reserve(request.key, static_cast<int64_t>(tokens), now_s());
  std::vector<std::vector<float>> vectors = engine.embed_tokens(given, service);
  for (std::vector<float>& vector : vectors) shorten(vector, static_cast<size_t>(dimensions));
  platform.metrics.count_generation(engine.name(),
                                    {.prompt_tokens = static_cast<int>(tokens), .cancelled = service.is_cancelled()});
  quota->spend(static_cast<int64_t>(tokens));
  ordered_json rest = {{"model", engine.name()}, {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
  return {.body =
              R"({"object":"list","data":[)" + rows_of(vectors, format == "base64") + "]," + dump_json(rest).substr(1)};
}

}  // namespace starling
