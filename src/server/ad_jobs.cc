#include "server/ad_jobs.h"

#include <spdlog/spdlog.h>

#include "core/error.h"
#include "core/hash.h"

namespace starling {
namespace {

constexpr size_t kMaxJobs = 100;

}  // namespace

std::optional<std::string> AdJobs::start(const Brief& brief) {
  const auto job = std::make_shared<AdJob>(AdJob{.id = random_hex(8), .message = "waiting"});
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(job);
    if (jobs_.size() > kMaxJobs) jobs_.pop_front();
  }
  if (worker_.try_post([this, job, brief] { run(*job, brief); })) return job->id;
  std::lock_guard lock(mutex_);
  std::erase(jobs_, job);
  return std::nullopt;
}

void AdJobs::run(AdJob& job, const Brief& brief) {
  const auto on_progress = [&](double fraction, const std::string& message) {
    std::lock_guard lock(mutex_);
    job.progress = fraction;
    job.message = message;
  };
  try {
    Campaign campaign = ads_.write(brief, on_progress);
    std::lock_guard lock(mutex_);
    job.campaign = std::move(campaign);
    job.progress = 1;
    job.state = "done";
  } catch (const std::exception& error) {
    spdlog::warn("writing an ad: {}", error.what());
    std::lock_guard lock(mutex_);
    job.message = error.what();
    job.state = "failed";
  }
}

std::optional<AdJob> AdJobs::find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  for (const auto& job : jobs_)
    if (job->id == id) return *job;
  return std::nullopt;
}

}  // namespace starling
