#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>

#include "app/command.h"
#include "app/memory_flags.h"
#include "app/sampling_flags.h"
#include "core/error.h"
#include "core/json.h"
#include "core/stop.h"
#include "infer/engine.h"

namespace starling {
namespace {

struct GenerateArguments {
  std::string model, prompt, system;
  MemoryFlags memory;
  bool chat = false;
  SamplingOptions sampling;
};

std::string read_prompt(const GenerateArguments& arguments, bool given) {
  if (given) return arguments.prompt;
  if (isatty(STDIN_FILENO)) fmt::print(stderr, "Type the prompt; end with Ctrl-D.\n");
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

void print_statistics(const Generation& g) {
  fmt::print(stderr,
             "prompt {} tokens in {:.2f} s ({:.1f} tokens/s), generated {} in {:.2f} s ({:.1f} tokens/s), end: {}\n",
             g.prompt_tokens, g.prefill_s, g.prefill_s > 0 ? g.prompt_tokens / g.prefill_s : 0.0, g.completion_tokens,
             g.decode_s, decode_tokens_per_s(g), name_of(g.finish));
}

void run_generate(const GenerateArguments& arguments, const std::string& prompt, const GlobalOptions& options) {
  const std::unique_ptr<Engine> engine =
      Engine::load(options.open_workspace().model(arguments.model), arguments.memory.engine_options());
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
  if (options.json) return fmt::print("{}\n", dump_json(to_json(generation)));
  fmt::print("\n");
  if (!options.quiet) print_statistics(generation);
}

}  // namespace

void add_generate(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("generate", "Continue a text or answer a message with a model");
  auto arguments = std::make_shared<GenerateArguments>();
  command.add_option("-m,--model", arguments->model, "Name of a model in this workspace").required();
  Option prompt = command.add_option("-p,--prompt", arguments->prompt, "The text; standard input when absent");
  const Option chat =
      command.add_flag("--chat", arguments->chat, "The prompt is a message: use the model's chat template");
  command.add_option("--system", arguments->system, "System message, with --chat").needs(chat);
  add_memory_flags(command, arguments->memory);
  add_sampling_flags(command, arguments->sampling);
  command.footer(
      "Examples:\n"
      "  starling generate --model tinyllama --chat --prompt \"Write a slogan for a bakery.\"\n"
      "  echo \"Once upon a time\" | starling generate --model stories --temperature 0 --max-tokens 100");
  command.callback(
      [arguments, prompt, &options] { run_generate(*arguments, read_prompt(*arguments, prompt.given()), options); });
}

}  // namespace starling
