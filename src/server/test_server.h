// For the server's tests: a whole server on a workspace made for the test.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/random.h"
#include "model/safetensors.h"
#include "search/search_service.h"
#include "server/platform.h"
#include "server/roles.h"
#include "server/server.h"
#include "server/test_client.h"
#include "tokenizer/tokenizer.h"

namespace starling {

namespace fs = std::filesystem;
using nlohmann::json;

// A model of the platform's kind with random weights: what it writes means nothing, but every step of writing is real.
inline void make_model(const fs::path& folder, int64_t context) {
  fs::create_directories(folder);
  const std::vector<std::string> texts = {"a post about laptops and linux", "the laptop of the linux post",
                                          "posts and more posts"};
  size_t next = 0;
  const auto next_text = [&](std::string& text) { return next < texts.size() ? (text = texts[next++], true) : false; };
  const auto tokenizer = train_byte_level_bpe(next_text, 280);
  tokenizer->save(folder / "tokenizer.json");
  ModelConfig config;
  config.vocab_size = tokenizer->vocab_size();
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.num_layers = 2;
  config.num_heads = config.num_kv_heads = 2;
  config.max_positions = context;
  config.save(folder / "config.json");
  std::vector<std::vector<float>> values;
  std::vector<TensorToWrite> tensors;
  for (const ParameterShape& parameter : parameter_shapes(config)) {
    int64_t count = 1;
    for (const int64_t size : parameter.shape) count *= size;
    auto& data = values.emplace_back(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i)
      data[i] = parameter.shape.size() == 1 ? 1.0f : 0.1f * random_normal(1, values.size(), static_cast<uint64_t>(i));
  }
  for (size_t i = 0; const ParameterShape& parameter : parameter_shapes(config)) {
    tensors.push_back({parameter.name, "F32", parameter.shape, values[i].data(), values[i].size() * sizeof(float)});
    ++i;
  }
  write_safetensors(folder / "model.safetensors", tensors, {});
}

inline Config make_config() {
  std::vector<ConfigKey> keys = server_config_keys();
  for (const ConfigKey& key : search_config_keys()) keys.push_back(key);
  for (const ConfigKey& key : ads_config_keys()) keys.push_back(key);
  Config config(keys);
  config.set("server.port=0");
  config.set("server.log_requests=false");
  config.set("server.request_burst=100000");
  return config;
}

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / fmt::format("starling-server-{}", ::getpid());
    fs::remove_all(root_);
    fs::create_directories(root_ / "page/assets");
    std::ofstream(root_ / "page/index.html") << "<!doctype html>the page";
    std::ofstream(root_ / "page/assets/app-1.js") << "script";
    std::ofstream(root_ / "secret.txt") << "secret";
    fs::create_symlink(root_ / "secret.txt", root_ / "page/link.txt");
  }
  void TearDown() override {
    server_.reset();
    fs::remove_all(root_);
  }

  void start(const std::vector<std::string>& settings = {}, bool with_model = true) {
    const Workspace workspace = Workspace::create(root_ / "workspace", "");
    if (with_model) make_model(workspace.model("own"), context_);
    serve(workspace, settings);
    for (const auto& [role, bit] : kRoleNames)
      keys_[std::string(role)] = server_->platform().control.create_key(std::string(role), std::string(role));
  }
  void restart(const std::vector<std::string>& settings) {
    server_.reset();
    serve(Workspace::open(root_ / "workspace"), settings);
  }
  void serve(const Workspace& workspace, const std::vector<std::string>& settings) {
    Config config = make_config();
    config.set("server.page_folder=" + (root_ / "page").string());
    for (const std::string& setting : settings) config.set(setting);
    server_ = std::make_unique<Server>(workspace, config, server_options(config));
    server_->start();
  }

  ClientResponse call(const std::string& method, const std::string& target, const json& body = {},
                      const std::string& role = "admin") {
    return fetch(server_->port(), method, target, role.empty() ? "" : keys_.at(role),
                 body.is_null() ? "" : body.dump());
  }
  json ok(const std::string& method, const std::string& target, const json& body = {}) {
    const ClientResponse response = call(method, target, body);
    EXPECT_LT(response.status, 300) << target << ": " << response.body;
    return json::parse(response.body, nullptr, false);
  }
  std::string error_code(const ClientResponse& response) { return json::parse(response.body)["error"]["code"]; }

  int64_t context_ = 128;  // of the model
  fs::path root_;
  std::unique_ptr<Server> server_;
  std::map<std::string, std::string> keys_;
};

// The value of a line of /metrics, which begins with `name`; -1 when there is none.
inline double metric(const std::string& text, const std::string& name) {
  const size_t at = text.find("\n" + name);
  return at == std::string::npos ? -1 : std::stod(text.substr(at + 1 + name.size()));
}

// The events of a stream, without the closing [DONE].
inline std::vector<json> events_of(const std::string& body) {
  std::vector<json> events;
  EXPECT_TRUE(body.ends_with("data: [DONE]\n\n")) << body;
  for (size_t begin = 0; begin < body.size();) {
    const size_t end = body.find("\n\n", begin);
    const std::string line = body.substr(begin, end - begin);
    EXPECT_TRUE(line.starts_with("data: ")) << line;
    if (line != "data: [DONE]") events.push_back(json::parse(line.substr(6)));
    begin = end + 2;
  }
  return events;
}

}  // namespace starling
