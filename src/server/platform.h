// Everything the routes work on: the workspace's stores, search, models, ads. Each part is thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ads/ads_service.h"
#include "core/config.h"
#include "core/workspace.h"
#include "posts/post_store.h"
#include "search/search_service.h"
#include "server/ad_jobs.h"
#include "server/constraints.h"
#include "server/metrics.h"
#include "server/models.h"
#include "server/page.h"
#include "server/server_config.h"
#include "server/token_quota.h"
#include "store/audit_log.h"
#include "store/control_db.h"

namespace starling {

struct Platform {
  // Opens the workspace. A missing model or index is not an error: it is a line in problems. Throws IoError when the
  // control database or the posts cannot be opened.
  Platform(const Workspace& workspace, const Config& config, const ServerOptions& options);

  SearchService& require_search() const;  // throws HttpError 503

  const Workspace workspace;
  const Config config;
  const ServerOptions options;
  ControlDb control;
  PostStore posts;
  AuditLog audit;
  TokenQuota quota;
  Models models;
  Constraints constraints;
  std::unique_ptr<SearchService> search;  // null: no index could be opened
  AdsService ads;
  AdJobs ad_jobs;
  Metrics metrics;
  Page page;
  std::vector<std::string> problems;  // what is missing, for people
};

}  // namespace starling
