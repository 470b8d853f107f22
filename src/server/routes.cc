#include "server/routes.h"

#include "server/router.h"

namespace starling {

std::span<const Route> all_routes() {
  static constexpr Route kRoutes[] = {
      {"GET", "/healthz", kPublic, Lane::io, get_health},
      {"GET", "/readyz", kPublic, Lane::quick, get_readiness},
      {"GET", "/metrics", kRoleAdmin | kRoleRead, Lane::quick, get_metrics},

      {"GET", "/v1/info", kAnyRole, Lane::quick, get_info},
      {"GET", "/v1/models", kAnyRole, Lane::quick, list_models},
      {"GET", "/v1/models/{model}", kAnyRole, Lane::quick, get_model},
      {"POST", "/v1/chat/completions", kSearchRoles, Lane::generation, create_chat_completion},
      {"POST", "/v1/completions", kSearchRoles, Lane::generation, create_completion},
      {"POST", "/v1/embeddings", kSearchRoles, Lane::generation, create_embeddings},
      {"POST", "/v1/score", kSearchRoles, Lane::generation, score_candidates},
      {"POST", "/tokenize", kSearchRoles, Lane::quick, tokenize_text},
      {"POST", "/detokenize", kSearchRoles, Lane::quick, detokenize_text},

      {"POST", "/v1/search", kAnyRole, Lane::quick, search_posts},
      {"POST", "/v1/ask", kAnyRole, Lane::generation, ask_posts},
      {"POST", "/v1/posts", kSearchRoles, Lane::quick, create_post},
      {"DELETE", "/v1/posts/{id}", kSearchRoles, Lane::quick, delete_post},
      {"DELETE", "/v1/authors/{id}", kAdminOnly, Lane::quick, delete_author},
      {"GET", "/v1/authors/{id}/opt-outs", kAdminOnly, Lane::quick, list_opt_outs},
      {"POST", "/v1/authors/{id}/opt-outs", kAdminOnly, Lane::quick, change_opt_out},

      {"POST", "/v1/ads/write", kAdsRoles, Lane::quick, write_ads},
      {"GET", "/v1/ads/jobs/{id}", kAdsRoles, Lane::quick, get_ad_job},
      {"GET", "/v1/ads/campaigns", kAdsRoles, Lane::quick, list_campaigns},
      {"GET", "/v1/ads/campaigns/{id}", kAdsRoles, Lane::quick, get_campaign},
      {"POST", "/v1/ads/campaigns/{id}/approve", kAdsRoles, Lane::quick, approve_campaign},
      {"POST", "/v1/ads/campaigns/{id}/state", kAdsRoles, Lane::quick, set_campaign_state},
      {"POST", "/v1/ads/check", kAdsRoles, Lane::quick, check_ad},
      {"POST", "/v1/ads/decide", kAdsRoles, Lane::quick, decide_ad},
      {"POST", "/v1/ads/events", kAdsRoles, Lane::quick, record_ad_event},
      {"POST", "/v1/ads/opt-out", kAdsRoles, Lane::quick, set_ad_opt_out},
      {"GET", "/v1/ads/library", kAnyRole, Lane::quick, list_library},
      {"GET", "/v1/ads/library/{variant_id}", kAnyRole, Lane::quick, get_library_entry},

      {"GET", "/v1/audit", kAdminOnly, Lane::quick, list_audit},
      {"GET", "/v1/training", kAnyRole, Lane::quick, list_training},
      {"POST", "/v1/plan", kAnyRole, Lane::quick, plan_cluster},
  };
  return kRoutes;
}

}  // namespace starling
