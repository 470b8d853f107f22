#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "app/bench.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/threads.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/tokenizer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

struct BenchTokenizerArguments {
  fs::path text_file, tokenizer;  // no tokenizer: the one that the benchmark trains
  int64_t vocab_size = 30000, rounds = 5;
};

struct Texts {
  std::string bytes;  // every line with its end
  std::vector<std::string_view> lines;
  double text_mb() const { return static_cast<double>(bytes.size()) / 1e6; }
};

Texts read_lines(const fs::path& path) {
  Texts texts{std::string(MappedFile(path).text()), {}};
  for (std::string_view rest = texts.bytes; !rest.empty();) {
    const size_t size = std::min(rest.find('\n'), rest.size() - 1) + 1;
    texts.lines.push_back(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  if (texts.lines.empty())
    throw DataError(fmt::format("{}: is empty; give a text file, one text a line", path.string()));
  return texts;
}

std::unique_ptr<Tokenizer> train(const Texts& texts, int64_t vocab_size) {
  BpeTrainer trainer;
  for (const std::string_view line : texts.lines) trainer.add(line);
  return trainer.train(vocab_size);
}

// A tokenizer may change a text once (NFC, a typed U+2581), never what it has itself decoded.
void check(const Tokenizer& tokenizer, const Texts& texts, const EncodedTexts& encoded, bool keeps_bytes) {
  for (size_t i = 0; i < texts.lines.size(); ++i) {
    const auto ids = std::span(encoded.ids).subspan(encoded.offsets[i], encoded.offsets[i + 1] - encoded.offsets[i]);
    const std::string decoded = tokenizer.decode(ids);
    if (!std::ranges::equal(tokenizer.encode(decoded), ids) || (keeps_bytes && decoded != texts.lines[i]))
      throw Error(
          fmt::format("the benchmark's result is wrong: line {} is another after encoding and decoding", i + 1));
  }
}

nlohmann::ordered_json measure(const BenchTokenizerArguments& arguments) {
  const Texts texts = read_lines(arguments.text_file);
  std::unique_ptr<Tokenizer> tokenizer;
  const Spread training = time_rounds(arguments.rounds, [&] { tokenizer = train(texts, arguments.vocab_size); });
  const auto trained_tokens = tokenizer->vocab_size();
  if (!arguments.tokenizer.empty()) tokenizer = Tokenizer::load(arguments.tokenizer);

  std::vector<TokenId> ids;
  const auto encode = [&] {
    ids.clear();
    for (const std::string_view line : texts.lines) tokenizer->append_tokens(line, ids);
  };
  const Spread first = time_rounds(1, encode);  // nothing is cached yet
  const EncodedTexts encoded = tokenizer->encode_all(texts.lines);
  if (encoded.ids != ids)
    throw Error("the benchmark's result is wrong: the threads together give other tokens than one");
  check(*tokenizer, texts, encoded, arguments.tokenizer.empty());
  const Spread one = time_rounds(arguments.rounds, encode);
  const Spread all = time_rounds(arguments.rounds, [&] { tokenizer->encode_all(texts.lines); });
  size_t decoded_bytes = 0;
  const Spread decoding = time_rounds(arguments.rounds, [&] { decoded_bytes = tokenizer->decode(ids).size(); });
  return {{"text_mb", texts.text_mb()},
          {"texts", texts.lines.size()},
          {"tokenizer", arguments.tokenizer.empty() ? "trained here" : arguments.tokenizer.string()},
          {"vocab_size", tokenizer->vocab_size()},
          {"tokens", ids.size()},
          {"threads", compute_threads()},
          {"encode_mb_s", texts.text_mb() / one.median},
          {"slowest_encode_mb_s", texts.text_mb() / one.slowest},
          {"first_encode_mb_s", texts.text_mb() / first.median},
          {"encode_all_threads_mb_s", texts.text_mb() / all.median},
          {"decode_mb_s", static_cast<double>(decoded_bytes) / 1e6 / decoding.median},
          {"train_vocab_size", trained_tokens},
          {"train_s", training.median},
          {"slowest_train_s", training.slowest}};
}

void bench_tokenizer(const BenchTokenizerArguments& arguments, const GlobalOptions& options) {
  const nlohmann::ordered_json result = measure(arguments);
  if (options.json) return fmt::print("{}\n", dump_json(result, 2));
  fmt::print(
      "{:.1f} MB in {} texts; every text encoded, decoded and encoded again without a difference\n"
      "encode: {:.1f} MB/s on one thread (median of {}; the first time {:.1f}), {:.1f} MB/s on {}\n"
      "decode: {:.1f} MB/s on one thread\n"
      "train:  {:.2f} s to {} tokens on {} threads\n",
      result["text_mb"].get<double>(), result["texts"].get<size_t>(), result["encode_mb_s"].get<double>(),
      arguments.rounds, result["first_encode_mb_s"].get<double>(), result["encode_all_threads_mb_s"].get<double>(),
      compute_threads(), result["decode_mb_s"].get<double>(), result["train_s"].get<double>(),
      result["train_vocab_size"].get<int64_t>(), compute_threads());
}

}  // namespace

void add_bench_tokenizer(Command bench, const GlobalOptions& options) {
  Command command = bench.add_subcommand("tokenizer", "Encoding, decoding and training of a vocabulary on a text file");
  auto arguments = std::make_shared<BenchTokenizerArguments>();
  command.add_option("text", arguments->text_file, "A text file, one text a line").required().existing_file();
  command
      .add_option("--tokenizer", arguments->tokenizer,
                  "A tokenizer.json, or ranks named ENCODING.tiktoken, to encode with instead of the trained one")
      .existing_file();
  command.add_option("--vocab-size", arguments->vocab_size, "Tokens of the vocabulary that is trained").show_default();
  command.add_option("--rounds", arguments->rounds, "Each figure is the median of so many")
      .between(int64_t{1}, int64_t{1000})
      .show_default();
  command.footer(
      "Examples:\n  starling bench tokenizer tweets.txt --json\n"
      "  starling bench tokenizer tweets.txt --tokenizer cl100k_base.tiktoken --rounds 9");
  command.callback([arguments, &options] { bench_tokenizer(*arguments, options); });
}

}  // namespace starling
