// For tests: the service over real Xapian, SQLite and post files in temporary folders; the embedder is a small
// bag-of-letters engine, so that what is near is known.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/workspace.h"
#include "infer/engine.h"
#include "posts/post_store.h"
#include "search/search_service.h"
#include "store/control_db.h"

namespace starling {

// Embeds a text as its counts of letters; answers every chat with a fixed reply.
class LetterEngine : public Engine {
 public:
  std::string reply;
  std::vector<ChatMessage> asked;
  Service asked_for;

  const ModelConfig& config() const override { return config_; }
  const Tokenizer& tokenizer() const override { throw Error("not used"); }
  std::string name() const override { return "letters"; }
  bool has_chat_template() const override { return true; }
  Generation generate(const std::vector<TokenId>&, const SamplingOptions& options, const OnText&) override {
    asked_for = options.service;
    Generation out;
    out.text = reply;
    return out;
  }
  std::vector<TokenId> chat_prompt(const std::vector<ChatMessage>& messages) const override {
    const_cast<LetterEngine*>(this)->asked = messages;
    return {};
  }
  std::vector<float> embed(std::string_view text) override {
    std::vector<float> out(26, 0.01f);
    for (const char c : text)
      if (std::isalpha(static_cast<unsigned char>(c))) out[static_cast<size_t>(std::tolower(c) - 'a')] += 1;
    float norm = 0;
    for (const float value : out) norm += value * value;
    for (float& value : out) value /= std::sqrt(norm);
    return out;
  }
  std::vector<std::vector<float>> embed_batch(const std::vector<std::string>& texts) override {
    std::vector<std::vector<float>> out;
    for (const std::string& text : texts) out.push_back(embed(text));
    return out;
  }
  std::vector<std::vector<float>> embed_tokens(const std::vector<std::vector<TokenId>>&, const Service&) override {
    throw Error("not used");
  }
  double log_likelihood(std::string_view, std::string_view) override { return 0; }

 private:
  ModelConfig config_;
};

inline Post make_post(const std::string& id, const std::string& author, const std::string& text) {
  Post post = post_from_json(R"({"id":")" + id + R"(","text":"x"})");
  post.text = text;
  post.author = author;
  post.language = "en";
  post.time_s = 1500000000 + std::atoi(id.c_str());
  return post;
}

class SearchFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    Progress::set_quiet(true);
    root_ = std::filesystem::temp_directory_path() /
            ("starling-search-" + std::to_string(getpid()) + "-" + std::to_string(counter_++));
    std::filesystem::remove_all(root_);
    workspace_ = Workspace::create(root_, "");
    posts_ = std::make_unique<PostStore>(workspace_.posts());
    control_ = std::make_unique<ControlDb>(workspace_.control_db());
  }
  void TearDown() override {
    service_.reset();
    posts_.reset();
    control_.reset();
    std::filesystem::remove_all(root_);
  }

  SearchService& open(Engine* embedder = nullptr) {
    service_.reset();
    service_ = std::make_unique<SearchService>(workspace_, config_, *posts_, *control_, embedder);
    return *service_;
  }
  void store(const std::vector<Post>& posts) { posts_->append_segment(posts); }
  std::vector<std::string> ids(const std::string& query, SearchStage stage = SearchStage::ranked) {
    std::vector<std::string> out;
    for (const SearchHit& hit : service_->search({.query = query, .stage = stage}).hits) out.push_back(hit.post.id);
    return out;
  }

  inline static int counter_ = 0;
  std::filesystem::path root_;
  Workspace workspace_;
  Config config_{search_config_keys()};
  std::unique_ptr<PostStore> posts_;
  std::unique_ptr<ControlDb> control_;
  std::unique_ptr<SearchService> service_;
  LetterEngine letters_;
};

}  // namespace starling
