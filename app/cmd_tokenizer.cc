#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "app/command.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/stop.h"
#include "posts/post_store.h"
#include "posts/shards.h"
#include "store/control_db.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/tokenizer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

struct TokenizerOptions {
  fs::path file;  // empty: the workspace's tokenizer.json
  fs::path text_file;
  std::vector<std::string> words;            // the arguments; none: standard input
  std::vector<std::string> allowed_special;  // texts of added tokens, or "all"
  int64_t vocab_size = 0;                    // 0: tokenizer.vocab_size
};

fs::path tokenizer_file(const TokenizerOptions& options, const GlobalOptions& global) {
  return options.file.empty() ? global.open_workspace().tokenizer() : options.file;
}

std::string arguments_or_stdin(const std::vector<std::string>& words) {
  if (words.empty()) return {std::istreambuf_iterator<char>(std::cin), {}};
  return fmt::format("{}", fmt::join(words, " "));
}

std::string to_text(const OrderedJson& json) { return dump_json_lossy(json, 2); }

using VisitText = std::function<void(const std::string&)>;

// Posts that are deleted, or whose author does not want them used for training, do not shape the vocabulary.
void visit_posts(const Workspace& workspace, const VisitText& visit) {
  const PostStore store(workspace.posts());
  const ControlDb control(workspace.control_db());
  Progress progress("tokenizer: counting", store.size(), "posts");
  uint64_t done = 0;
  store.for_each([&](const Post& post) {
    if (!control.is_deleted(post.id, post.author) && !control.has_opted_out(post.author, "training")) visit(post.text);
    progress.update(++done);
    return !stop_requested();
  });
}

void visit_lines(const fs::path& file, const VisitText& visit) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw io_error(file.string(), "open");
  for (std::string line; !stop_requested() && std::getline(in, line);) visit(line + '\n');
}

// What was made with the tokenizer that this one has replaced.
void warn_of_other_shards(const Workspace& workspace) {
  if (!fs::exists(workspace.shards() / "manifest.json")) return;
  if (ShardReader(workspace.shards(), "train").tokenizer_sha256() == sha256_file_hex(workspace.tokenizer())) return;
  spdlog::warn("{} are of the tokenizer before: run `starling prepare` again; a run that is not finished cannot go on",
               workspace.shards().string());
}

void train(const TokenizerOptions& options, const GlobalOptions& global) {
  const fs::path output = tokenizer_file(options, global);
  const int64_t vocab_size =
      options.vocab_size > 0 ? options.vocab_size : global.config().integer("tokenizer.vocab_size");
  check_vocab_size(vocab_size);
  uint64_t texts = 0, bytes = 0;
  BpeTrainer trainer;
  const auto count = [&](const std::string& text) {
    trainer.add(text);
    ++texts;
    bytes += text.size();
  };
  if (options.text_file.empty()) visit_posts(global.open_workspace(), count);
  else visit_lines(options.text_file, count);
  if (texts == 0)
    throw DataError("there is no text to learn a vocabulary from; run `starling ingest` first or give --text-file");
  const auto tokenizer = trainer.train(vocab_size);
  tokenizer->save(output);
  if (options.file.empty()) warn_of_other_shards(global.open_workspace());
  if (global.json) {
    fmt::print("{}\n", to_text({{"tokenizer", output.string()},
                                {"vocab_size", tokenizer->vocab_size()},
                                {"texts", texts},
                                {"text_bytes", bytes}}));
  } else {
    fmt::print("{}: {} tokens, learned from {} texts of {:.1f} MB\n", output.string(), tokenizer->vocab_size(), texts,
               bytes / 1e6);
  }
}

// Ids of the special and marker tokens that the caller allows.
std::vector<TokenId> allowed_ids(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  std::vector<SpecialToken> added = tokenizer.special_tokens();
  added.insert(added.end(), tokenizer.marker_tokens().begin(), tokenizer.marker_tokens().end());
  std::vector<TokenId> ids;
  for (const std::string& text : texts) {
    const size_t before = ids.size();
    for (const SpecialToken& token : added)
      if (text == "all" || text == token.text) ids.push_back(token.id);
    if (ids.size() == before)
      throw ConfigError(
          fmt::format("--allow-special \"{}\": the vocabulary has no such special token; "
                      "`starling tokenizer info` lists them",
                      text));
  }
  return ids;
}

void encode(const TokenizerOptions& options, const GlobalOptions& global) {
  const auto tokenizer = Tokenizer::load(tokenizer_file(options, global));
  const std::string text = arguments_or_stdin(options.words);
  const std::vector<TokenId> ids =
      tokenizer->encode_with_special(text, allowed_ids(*tokenizer, options.allowed_special));
  if (!global.json) return fmt::print("{}\n", fmt::join(ids, " "));
  OrderedJson tokens = OrderedJson::array();
  for (const TokenId id : ids) tokens.push_back(tokenizer->token_bytes(id));
  fmt::print("{}\n", to_text({{"ids", ids}, {"tokens", tokens}, {"text_bytes", text.size()}}));
}

void decode(const TokenizerOptions& options, const GlobalOptions& global) {
  const auto tokenizer = Tokenizer::load(tokenizer_file(options, global));
  std::istringstream words(arguments_or_stdin(options.words));
  std::vector<TokenId> ids;
  for (std::string word; words >> word;) {
    TokenId id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size()) {
      throw DataError(fmt::format("\"{}\" is not a token id; give whole numbers separated by spaces", word));
    }
    ids.push_back(id);
  }
  const std::string text = tokenizer->decode(ids);
  if (global.json) fmt::print("{}\n", to_text({{"text", text}}));
  else std::cout << text << '\n';  // bytes as they are, whether or not they are UTF-8
}

void info(const TokenizerOptions& options, const GlobalOptions& global) {
  const fs::path file = tokenizer_file(options, global);
  const auto tokenizer = Tokenizer::load(file);
  OrderedJson special = OrderedJson::object();
  for (const SpecialToken& token : tokenizer->special_tokens()) special[token.text] = token.id;
  const OrderedJson report = {{"tokenizer", file.string()},
                              {"sha256", sha256_file_hex(file)},
                              {"vocab_size", tokenizer->vocab_size()},
                              {"special_tokens", special}};
  if (global.json) return fmt::print("{}\n", to_text(report));
  fmt::print("file            {}\nsha256          {}\nvocabulary      {} tokens\n", file.string(),
             sha256_file_hex(file), tokenizer->vocab_size());
  for (const SpecialToken& token : tokenizer->special_tokens())
    fmt::print("special token   {} {}\n", token.id, token.text);
}

using Action = void (*)(const TokenizerOptions&, const GlobalOptions&);

Command add_action(Command parent, const char* name, const char* help, Action action,
                   const std::shared_ptr<TokenizerOptions>& options, const GlobalOptions& global) {
  Command command = parent.add_subcommand(name, help);
  command.add_option("--tokenizer", options->file,
                     "A tokenizer.json, or ranks named ENCODING.tiktoken (default: the workspace's)");
  command.callback([action, options, &global] { action(*options, global); });
  return command;
}

}  // namespace

void add_tokenizer(Command root, const GlobalOptions& global) {
  Command command = root.add_subcommand("tokenizer", "Train and use the byte-pair vocabulary");
  command.require_subcommand();
  auto options = std::make_shared<TokenizerOptions>();
  Command training =
      add_action(command, "train", "Learn a vocabulary from the workspace's posts", train, options, global);
  training.add_option("--text-file", options->text_file, "Learn from a text file instead, one text a line")
      .existing_file();
  training.add_option("--vocab-size", options->vocab_size, "Tokens to make (default: tokenizer.vocab_size)").positive();
  Command encoding = add_action(command, "encode", "Text to token ids", encode, options, global);
  encoding.add_option("text", options->words, "The text (default: standard input)");
  encoding
      .add_option("--allow-special", options->allowed_special,
                  "Take this special token, where the text spells it out, as that token (repeatable; all: any)")
      .one_value_each();
  Command decoding = add_action(command, "decode", "Token ids to text", decode, options, global);
  decoding.add_option("ids", options->words, "The ids (default: standard input)");
  add_action(command, "info", "Size, special tokens and digest", info, options, global);
  command.footer(
      "Examples:\n"
      "  starling tokenizer train --workspace demo --vocab-size 8192\n"
      "  starling tokenizer encode 'good morning'\n"
      "  starling tokenizer encode < post.txt | starling tokenizer decode\n"
      "  starling tokenizer encode 'one<|endoftext|>two' --tokenizer cl100k_base.tiktoken --allow-special all\n"
      "  starling tokenizer info --tokenizer models/tinyllama/tokenizer.json");
}

}  // namespace starling
