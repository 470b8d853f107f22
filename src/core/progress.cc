#include "core/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

namespace starling {
namespace {

std::atomic<bool> quiet_progress{false};

std::string clock_text(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  return whole >= 3600 ? fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
                       : fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

void Progress::set_quiet(bool quiet) { quiet_progress = quiet; }

Progress::Progress(std::string label, uint64_t total, std::string unit, uint64_t done)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      first_(done),
      done_(done),
      terminal_(::isatty(STDERR_FILENO)),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (!drawn_ || quiet_progress) return;
  draw({});
  if (terminal_) std::fputc('\n', stderr);
}

void Progress::update(uint64_t done, const std::string& note) {
  done_ = done;
  const auto now = std::chrono::steady_clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(5);
  if (quiet_progress || now - last_ < interval) return;
  last_ = now;
  draw(note);
}

std::string Progress::line(double elapsed_s, const std::string& note) const {
  const double rate = elapsed_s > 0 ? static_cast<double>(done_ - first_) / elapsed_s : 0;
  std::string line = fmt::format("{}: ", label_);
  if (total_ > 0) {
    const double fraction = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const int filled = static_cast<int>(fraction * 24);
    line += fmt::format("[{:=<{}}{:<{}}] {:3.0f}% ", "", filled, "", 24 - filled, fraction * 100);
    if (rate > 0 && done_ < total_)
      line += fmt::format("{} left, ", clock_text(static_cast<double>(total_ - done_) / rate));
  }
  line += fmt::format("{} {}, {:.{}f}/s, {}", done_, unit_, rate, rate < 10 ? 1 : 0, clock_text(elapsed_s));
  if (!note.empty()) line += "  " + note;
  return line;
}

void Progress::draw(const std::string& note) {
  drawn_ = true;
  const double elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const std::string drawn =
      fmt::format("{}{}{}", terminal_ ? "\r" : "", line(elapsed_s, note), terminal_ ? "\x1b[K" : "\n");
  std::fputs(drawn.c_str(), stderr);  // throws nothing: the work goes on where nobody looks any more
  std::fflush(stderr);
}

}  // namespace starling
