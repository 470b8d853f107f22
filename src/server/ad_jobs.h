// Ads are written in the background, one brief at a time: writing takes a language model minutes. The newest jobs are
// kept in memory; a finished campaign is in the control database and outlives the server.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "ads/ads_service.h"
#include "server/worker_pool.h"

namespace starling {

struct AdJob {
  std::string id;
  std::string state = "running";  // "running", "done", "failed"
  double progress = 0;            // 0 to 1
  std::string message;
  std::optional<Campaign> campaign;
};

class AdJobs {
 public:
  explicit AdJobs(AdsService& ads) : ads_(ads) {}
  std::optional<std::string> start(const Brief& brief);  // the job's id; none when too many wait
  std::optional<AdJob> find(const std::string& id) const;

 private:
  void run(AdJob& job, const Brief& brief);
  AdsService& ads_;
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<AdJob>> jobs_;  // oldest first
  WorkerPool worker_{1, 4};
};

}  // namespace starling
