// A progress bar on stderr: redrawn in place on a terminal, a line every few seconds otherwise, nothing when quiet.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace starling {

class Progress {
 public:
  // total 0: not known yet, only counts and the rate are shown. `unit` is plural: "posts". `done` before this process,
  // of work that goes on, does not count for the rate.
  Progress(std::string label, uint64_t total, std::string unit, uint64_t done = 0);
  ~Progress();  // ends the line
  void set_total(uint64_t total) { total_ = total; }
  void update(uint64_t done, const std::string& note = {});
  std::string line(double elapsed_s, const std::string& note = {}) const;  // what is drawn
  static void set_quiet(bool quiet);                                       // --json and tests

 private:
  void draw(const std::string& note);
  std::string label_, unit_;
  uint64_t total_, first_, done_;
  bool terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace starling
