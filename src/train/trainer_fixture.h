// For tests: a small workspace whose texts and tokenizer are made here, and settings that train on it in seconds.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <string>
#include <utility>

#include "core/config.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/random.h"
#include "core/workspace.h"
#include "posts/shards.h"
#include "tokenizer/tokenizer.h"
#include "train/options.h"

namespace starling {

inline constexpr const char* kSentences[] = {
    "the train to the city is late again, and nobody at the station knows why",
    "made bread this morning: flour, water, salt and a whole night of waiting",
    "does anyone know a good book about the history of bridges?",
    "rain since five o'clock; the river is up to the second step",
    "our team won in the last minute, what a game that was",
    "new release is out: faster start, fewer bugs, same price",
};

inline std::string text_of(uint64_t i) {
  const std::string a = kSentences[random_u64(1, 1, i) % std::size(kSentences)],
                    b = kSentences[random_u64(1, 2, i) % std::size(kSentences)];
  return a.substr(0, 20 + random_u64(1, 3, i) % 40) + " / " + b.substr(random_u64(1, 4, i) % 20);
}

inline Workspace make_workspace(const std::filesystem::path& folder, uint64_t later_posts = 20) {
  std::filesystem::remove_all(folder);
  const Workspace workspace = Workspace::create(folder, Config(train_config_keys()).to_toml());
  uint64_t at = 0;
  const auto tokenizer =
      train_byte_level_bpe([&](std::string& text) { return at < 200 && (text = text_of(at++), true); }, 320);
  tokenizer->save(workspace.tokenizer());
  std::filesystem::create_directories(workspace.shards());
  ShardWriter writer(workspace.shards(), {tokenizer->vocab_size(), sha256_file_hex(workspace.tokenizer()), 1 << 20});
  for (uint64_t i = 0; i < 200 + later_posts; ++i) {
    const std::string text = text_of(i), id = "p" + std::to_string(i), author = "a" + std::to_string(i % 11);
    Sample sample{tokenizer->encode(text), static_cast<uint32_t>(text.size()), static_cast<int64_t>(1'000'000 + i), id,
                  author};
    sample.tokens.push_back(*tokenizer->special_id(kEndToken));
    writer.add(i < 200 ? "train" : "valid", sample);
  }
  writer.finish();
  return workspace;
}

inline Config small_config(std::initializer_list<const char*> more = {}) {
  Config config(train_config_keys());
  for (const char* setting :
       {"model.hidden_size=32", "model.intermediate_size=64", "model.layers=2", "model.heads=2", "model.kv_heads=2",
        "model.max_positions=64", "train.sequence_length=32", "train.batch_tokens=256", "train.micro_batch_tokens=128",
        "train.steps=60", "train.warmup_steps=10", "train.log_interval=1", "train.evaluation_interval=0",
        "train.checkpoint_interval=3"})
    config.set(setting);
  for (const char* setting : more) config.set(setting);
  return config;
}

inline std::filesystem::path temporary(const char* name) {
  return std::filesystem::temp_directory_path() / (std::string("starling-") + name + "-" + std::to_string(::getpid()));
}

inline int64_t logged_steps(const Workspace& workspace) {
  const std::filesystem::path log = workspace.run("own") / "log.jsonl";
  if (!std::filesystem::exists(log)) return 0;
  const std::string text = read_file(log);
  const size_t last = text.rfind("{\"step\":");
  return last == std::string::npos ? 0 : std::atoll(text.c_str() + last + 8);
}

class TrainerTest : public testing::Test {
 protected:
  Workspace workspace_ = make_workspace(temporary("trainer"));
  ~TrainerTest() override { std::filesystem::remove_all(workspace_.root); }
};

}  // namespace starling
