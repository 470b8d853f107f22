// Where the time of a step goes: every operator of training reports its name, floating-point operations and the bytes
// it must move at least (each operand once). Off by default, and then it costs one test of a flag an operator.
//
// Operators are called by one thread at a time (each uses all compute threads), so the profile has no lock: switch it
// on and read it from the thread that trains. An operator called by another counts for itself, not for its caller.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace starling {

struct OperatorProfile {
  std::string name;
  int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};

// Forgets what was measured before. On a GPU each operator is waited for, so that the time is its own.
void start_profile(Device device = Device::cpu);
bool is_profiling();                          // on this thread
std::vector<OperatorProfile> stop_profile();  // by time, longest first

// Lives as long as its operator runs.
class ProfiledOperator {
 public:
  ProfiledOperator(const char* name, double flops, double bytes);
  ~ProfiledOperator();
  ProfiledOperator(const ProfiledOperator&) = delete;
  ProfiledOperator& operator=(const ProfiledOperator&) = delete;

 private:
  const char* name_;
  double flops_, bytes_, start_s_ = 0, inner_s_ = 0;
  ProfiledOperator* outer_ = nullptr;
  bool active_;
};

}  // namespace starling
