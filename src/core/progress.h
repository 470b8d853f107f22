// A progress bar on stderr: redrawn in place on a terminal, a line every few seconds otherwise, nothing when quiet.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace starling {

class Progress {
 public:
  // total 0: unknown, only counts and the rate are shown. `unit` is plural: "posts".
  Progress(std::string label, uint64_t total, std::string unit);
  ~Progress();  // ends the line
  void update(uint64_t done, const std::string& note = {});
  static void set_quiet(bool quiet);  // --json and tests

 private:
  void draw(const std::string& note);
  std::string label_, unit_;
  uint64_t total_, done_ = 0;
  bool terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace starling
