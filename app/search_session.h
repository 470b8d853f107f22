// What `search` and `ask` share: the workspace's stores, the index's model and the service over them.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "app/command.h"
#include "infer/engine.h"
#include "search/search_service.h"

namespace starling {

class SearchSession {
 public:
  explicit SearchSession(const GlobalOptions& options);
  SearchService& service() { return *service_; }
  const Workspace& workspace() const { return workspace_; }
  const Config& config() const { return config_; }

 private:
  Workspace workspace_;
  Config config_;
  PostStore posts_;
  ControlDb control_;
  std::unique_ptr<Engine> embedder_;
  std::unique_ptr<SearchService> service_;
};

nlohmann::ordered_json hit_json(const SearchHit& hit);
std::string one_line(std::string_view text, size_t max_bytes);  // line breaks as spaces, cut between characters

}  // namespace starling
