#include "core/stop.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace starling {
namespace {

std::atomic<bool> stop_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the signal handler needs a lock-free flag");

void on_signal(int) {
  if (stop_flag.exchange(true)) _exit(130);
}

}  // namespace

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_requested() { return stop_flag.load(); }
void request_stop() { stop_flag = true; }

}  // namespace starling
