#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/time.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"

namespace starling {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMaxInputs = 256;

std::vector<std::string> inputs(const JsonBody& body) {
  const json& input = body.require("input");
  const json list = input.is_string() ? json::array({input}) : input;
  const auto is_text = [](const json& item) { return item.is_string() && !item.get_ref<const std::string&>().empty(); };
  if (!list.is_array() || list.empty() || list.size() > kMaxInputs || !std::all_of(list.begin(), list.end(), is_text))
    throw HttpError(400, "invalid_field",
                    fmt::format("`input` must be a string or a list of 1 to {} strings, none empty", kMaxInputs),
                    "input");
  return list.get<std::vector<std::string>>();
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

// How many tokens the inputs have; each must fit the model's context.
size_t count_tokens(const Engine& engine, const std::vector<std::string>& texts) {
  size_t total = 0;
  for (const std::string& text : texts) {
    const size_t tokens = engine.tokenizer().encode(text).size() + 1;  // with the begin token
    if (tokens > static_cast<size_t>(engine.config().max_positions))
      throw HttpError(
          400, "context_length_exceeded",
          fmt::format("an input has {} tokens; the model's context is {}", tokens, engine.config().max_positions),
          "input");
    total += tokens;
  }
  return total;
}

}  // namespace

Response create_embeddings(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  Engine& engine = platform.models.require_embedder(body.text("model", ""));
  const std::vector<std::string> texts = inputs(body);
  const std::string format = body.text("encoding_format", "float");
  if (format != "float" && format != "base64")
    throw HttpError(400, "invalid_field", "`encoding_format` must be float or base64", "encoding_format");
  const int64_t width = engine.config().hidden_size;
  const int64_t dimensions = body.integer("dimensions", width, 1, width);
  const size_t tokens = count_tokens(engine, texts);
  std::vector<std::vector<float>> vectors = engine.embed_batch(texts);
  for (std::vector<float>& vector : vectors) shorten(vector, static_cast<size_t>(dimensions));
  platform.quota.spend(request.key.name, static_cast<int64_t>(tokens), now_s());
  ordered_json data = ordered_json::array();
  for (size_t i = 0; i < vectors.size(); ++i) {
    ordered_json item = {{"object", "embedding"}, {"index", i}};
    if (format == "base64") item["embedding"] = to_base64(vectors[i]);
    else item["embedding"] = vectors[i];
    data.push_back(std::move(item));
  }
  return json_response(ordered_json{{"object", "list"},
                                    {"data", std::move(data)},
                                    {"model", engine.name()},
                                    {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}});
}

}  // namespace starling
