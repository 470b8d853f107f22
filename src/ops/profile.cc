#include "ops/profile.h"

#include <algorithm>
#include <map>

#include "core/time.h"
#include "tensor/device.h"

namespace starling {
namespace {

// Of the thread that started the profile: operators of other threads (a server beside the trainer) do not count.
thread_local bool profiling = false;
thread_local Device measured_device = Device::cpu;
thread_local ProfiledOperator* innermost = nullptr;
thread_local std::map<std::string, OperatorProfile> measured;

}  // namespace

bool is_profiling() { return profiling; }

void start_profile(Device device) {
  measured_device = device;
  measured.clear();
  profiling = true;
}

std::vector<OperatorProfile> stop_profile() {
  profiling = false;
  std::vector<OperatorProfile> list;
  for (auto& [name, profile] : measured) list.push_back(std::move(profile));
  measured.clear();
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return list;
}

ProfiledOperator::ProfiledOperator(const char* name, double flops, double bytes)
    : name_(name), flops_(flops), bytes_(bytes), active_(profiling) {
  if (!active_) return;
  outer_ = innermost;
  innermost = this;
  wait_for(measured_device);
  start_s_ = monotonic_s();
}

ProfiledOperator::~ProfiledOperator() {
  if (!active_) return;
  wait_for(measured_device);
  const double seconds = monotonic_s() - start_s_;
  innermost = outer_;
  if (outer_) outer_->inner_s_ += seconds;
  if (!profiling) return;
  OperatorProfile& profile = measured[name_];
  profile.name = name_;
  profile.calls += 1;
  profile.seconds += seconds - inner_s_;
  profile.flops += flops_;
  profile.bytes += bytes_;
}

}  // namespace starling
