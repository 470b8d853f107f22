#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "core/error.h"
#include "core/stop.h"
#include "infer/engine.h"

namespace starling {
namespace {

struct Arguments {
  std::string model, prompt, system;
  bool chat = false;
  SamplingOptions sampling;
};

std::string read_prompt(const Arguments& arguments, bool given) {
  if (given) return arguments.prompt;
  if (isatty(STDIN_FILENO)) fmt::print(stderr, "Type the prompt; end with Ctrl-D.\n");
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

double per_second(int count, double seconds) { return seconds > 0 ? count / seconds : 0.0; }

const char* name_of(FinishReason reason) {
  return reason == FinishReason::stop ? "stop" : reason == FinishReason::length ? "length" : "cancelled";
}

void print_json(const Generation& g) {
  const nlohmann::json json = {{"text", g.text},
                               {"finish", name_of(g.finish)},
                               {"prompt_tokens", g.prompt_tokens},
                               {"completion_tokens", g.completion_tokens},
                               {"prefill_s", g.prefill_s},
                               {"decode_s", g.decode_s}};
  fmt::print("{}\n", json.dump());
}

// The first token comes out of the prompt's pass, so decoding made one token less.
void print_statistics(const Generation& g) {
  fmt::print(stderr,
             "prompt {} tokens in {:.2f} s ({:.1f} tokens/s), generated {} in {:.2f} s ({:.1f} tokens/s), end: {}\n",
             g.prompt_tokens, g.prefill_s, per_second(g.prompt_tokens, g.prefill_s), g.completion_tokens, g.decode_s,
             per_second(g.completion_tokens - 1, g.decode_s), name_of(g.finish));
}

void run_generate(const Arguments& arguments, const std::string& prompt, const GlobalOptions& options) {
  const std::unique_ptr<Engine> engine = Engine::load(options.open_workspace().model(arguments.model));
  const Engine::OnText show = [&](std::string_view piece) {
    if (!options.json) {
      fmt::print("{}", piece);
      std::fflush(stdout);
    }
    return !stop_requested();
  };
  Generation generation;
  if (arguments.chat) {
    std::vector<ChatMessage> messages;
    if (!arguments.system.empty()) messages.push_back({"system", arguments.system});
    messages.push_back({"user", prompt});
    generation = engine->chat(messages, arguments.sampling, show);
  } else {
    generation = engine->complete(prompt, arguments.sampling, show);
  }
  if (options.json) return print_json(generation);
  fmt::print("\n");
  if (!options.quiet) print_statistics(generation);
}

}  // namespace

void add_generate(CLI::App& root, const GlobalOptions& options) {
  CLI::App* command = root.add_subcommand("generate", "Continue a text or answer a message with a model");
  auto arguments = std::make_shared<Arguments>();
  SamplingOptions& sampling = arguments->sampling;
  command->add_option("-m,--model", arguments->model, "Name of a model in this workspace")->required();
  CLI::Option* prompt = command->add_option("-p,--prompt", arguments->prompt, "The text; standard input when absent");
  command->add_flag("--chat", arguments->chat, "The prompt is a message: use the model's chat template");
  command->add_option("--system", arguments->system, "System message, with --chat");
  command->add_option("-n,--max-tokens", sampling.max_tokens, "At most so many tokens")->capture_default_str();
  command->add_option("-t,--temperature", sampling.temperature, "0: always the most probable token")
      ->capture_default_str();
  command->add_option("--top-k", sampling.top_k, "Keep the k most probable tokens; 0: all")->capture_default_str();
  command->add_option("--top-p", sampling.top_p, "Keep the fewest tokens with this probability together")
      ->capture_default_str();
  command->add_option("--min-p", sampling.min_p, "Keep tokens with this share of the largest probability")
      ->capture_default_str();
  command->add_option("--seed", sampling.seed, "Same seed, same text")->capture_default_str();
  command->add_option("--stop", sampling.stop, "End before this text (repeatable)")->allow_extra_args(false);
  command->footer(
      "Examples:\n"
      "  starling generate --model tinyllama --chat --prompt \"Write a slogan for a bakery.\"\n"
      "  echo \"Once upon a time\" | starling generate --model stories --temperature 0 --max-tokens 100");
  command->callback([arguments, prompt, &options] {
    run_generate(*arguments, read_prompt(*arguments, prompt->count() > 0), options);
  });
}

}  // namespace starling
