#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "app/command.h"
#include "app/memory_flags.h"
#include "app/sampling_flags.h"
#include "core/error.h"
#include "core/json.h"
#include "core/stop.h"

namespace starling {
namespace {

struct ChatArguments {
  std::string model, system;
  MemoryFlags memory;
  SamplingOptions sampling{.max_tokens = 512};
};

// Ctrl-C ends the answer under way, and the conversation when none is.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the signal handler needs a lock-free flag");

void catch_interrupt() {
  struct sigaction action {};  // without SA_RESTART: it also ends the wait for a line
  action.sa_handler = [](int) { interrupted = true; };
  sigaction(SIGINT, &action, nullptr);
}

class Conversation {
 public:
  Conversation(Engine& engine, const ChatArguments& arguments) : engine_(engine), sampling_(arguments.sampling) {
    if (!arguments.system.empty()) messages_.push_back({"system", arguments.system});
    lasting_ = messages_.size();
  }

  // Throws DataError, and forgets the message only, when it does not fit the model's context by itself.
  Generation answer(const std::string& message, const Engine::OnText& show) {
    const std::vector<ChatMessage> before = messages_;
    const int forgotten = forgotten_;
    messages_.push_back({"user", message});
    try {
      make_room();
      Generation generation = engine_.chat(messages_, sampling_, show);
      messages_.push_back({"assistant", generation.text});
      ++sampling_.seed;
      return generation;
    } catch (const DataError&) {
      messages_ = before;
      forgotten_ = forgotten;
      throw;
    }
  }
  void forget() { messages_.resize(lasting_); }
  int exchanges_forgotten() const { return forgotten_; }  // in all, for want of room

 private:
  // The oldest exchanges go until there is room for an answer, or for a quarter of the context.
  void make_room() {
    const int64_t context = engine_.config().max_positions;
    const int64_t room = std::min<int64_t>(sampling_.max_tokens, context / 4);
    const auto begin = messages_.begin() + static_cast<std::ptrdiff_t>(lasting_);
    while (messages_.size() > lasting_ + 2 &&
           static_cast<int64_t>(engine_.chat_prompt(messages_).size()) + room > context) {
      messages_.erase(begin, begin + 2);
      ++forgotten_;
    }
  }

  Engine& engine_;
  SamplingOptions sampling_;
  std::vector<ChatMessage> messages_;
  size_t lasting_ = 0;  // messages that are never forgotten
  int forgotten_ = 0;
};

// A line of standard input; false at its end, or at Ctrl-C.
bool read_line(std::string& line, bool interactive) {
  if (interactive) {
    fmt::print("> ");
    std::fflush(stdout);
  }
  return std::getline(std::cin, line) && !interrupted && !stop_requested();
}

void print_statistics(const Generation& g, int forgotten) {
  fmt::print(stderr, "[prompt {} tokens, {} of them kept from before; answer {} tokens, {:.1f} tokens/s{}{}]\n",
             g.prompt_tokens, g.cached_tokens, g.completion_tokens, decode_tokens_per_s(g),
             g.finish == FinishReason::length ? "; cut off at --max-tokens or the context's end" : "",
             forgotten > 0 ? fmt::format("; {} old exchanges forgotten for room", forgotten) : "");
}

void answer_line(Conversation& conversation, const std::string& line, const GlobalOptions& options) {
  interrupted = false;
  const Engine::OnText show = [&](std::string_view piece) {
    if (!options.json) fmt::print("{}", piece);
    std::fflush(stdout);
    return !interrupted && !stop_requested();
  };
  try {
    const Generation generation = conversation.answer(line, show);
    fmt::print("{}\n", options.json ? dump_json(to_json(generation)) : "");
    std::fflush(stdout);
    if (!options.json && !options.quiet) print_statistics(generation, conversation.exchanges_forgotten());
  } catch (const DataError& error) {  // too long a message; the next may fit
    fmt::print(stderr, "starling: {}\n", error.what());
  }
  interrupted = false;
}

void chat(const ChatArguments& arguments, const GlobalOptions& options) {
  const std::unique_ptr<Engine> engine =
      Engine::load(options.open_workspace().model(arguments.model), arguments.memory.engine_options());
  Conversation conversation(*engine, arguments);
  const bool interactive = isatty(STDIN_FILENO) && !options.json;
  if (interactive && !options.quiet)
    fmt::print(stderr, "{}: /new begins again, /quit or Ctrl-D ends, Ctrl-C stops an answer.\n", engine->name());
  catch_interrupt();
  for (std::string line; read_line(line, interactive) && line != "/quit";) {
    if (line == "/new") conversation.forget();
    else if (!line.empty()) answer_line(conversation, line, options);
  }
}

}  // namespace

void add_chat(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("chat", "Talk with a model in the terminal, a line a message");
  auto arguments = std::make_shared<ChatArguments>();
  command.add_option("-m,--model", arguments->model, "Name of a model in this workspace (default: server.model)");
  command.add_option("--system", arguments->system, "System message");
  add_memory_flags(command, arguments->memory);
  add_sampling_flags(command, arguments->sampling);
  command.footer(
      "Examples:\n  starling chat --model tinyllama --system \"Be short.\"\n"
      "  printf 'Hello\\nAnd again\\n' | starling chat --model own --temperature 0 --json    # one object an answer");
  command.callback([arguments, &options] {
    if (arguments->model.empty()) arguments->model = options.config().text("server.model");
    chat(*arguments, options);
  });
}

}  // namespace starling
