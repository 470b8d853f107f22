// Decisions, events and money. Each call is one immediate transaction: the answer, the ledger, the campaign's sums and
// the audit record are all there after a crash, or none is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ads/auction.h"
#include "ads/campaign.h"

namespace soci {
class session;
}

namespace starling {

class AdCandidates;
class ControlDb;
struct AdsOptions;

class AdServer {
 public:
  AdServer(ControlDb& control, const AdsOptions& options);
  ~AdServer();

  DecideResult decide(const DecideRequest& request, int64_t clock_s);
  bool record_event(const std::string& token, const std::string& type, int64_t now_s);
  void set_viewer_opt_out(const std::string& viewer, bool opt_out);

 private:
  std::string viewer_hash(const std::string& viewer) const;
  std::string sign(const std::string& impression_id) const;
  DecideResult choose(soci::session& sql, const DecideRequest& request, const std::string& viewer, int64_t clock_s,
                      const std::string& impression_id);
  void release_unseen(soci::session& sql, int64_t now_s);
  void settle(soci::session& sql, const std::string& impression_id, int64_t now_s);

  ControlDb& control_;
  const AdsOptions& options_;
  std::string token_key_, viewer_key_;
  std::unique_ptr<AdCandidates> candidates_;  // used inside transactions only, which take turns
};

}  // namespace starling
