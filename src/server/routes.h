// The handlers of the route table, by subject. docs/formats/http-api.md gives their bodies and answers.
#pragma once

#include "server/http.h"

namespace starling {

struct Platform;

// routes_openai.cc, routes_embeddings.cc: OpenAI's API
Response list_models(Platform& platform, const Request& request);
Response get_model(Platform& platform, const Request& request);
Response create_chat_completion(Platform& platform, const Request& request);
Response create_completion(Platform& platform, const Request& request);
Response create_embeddings(Platform& platform, const Request& request);

// routes_tokens.cc
Response tokenize_text(Platform& platform, const Request& request);
Response detokenize_text(Platform& platform, const Request& request);
Response score_candidates(Platform& platform, const Request& request);

// routes_search.cc
Response search_posts(Platform& platform, const Request& request);
Response ask_posts(Platform& platform, const Request& request);

// routes_posts.cc
Response create_post(Platform& platform, const Request& request);
Response delete_post(Platform& platform, const Request& request);
Response delete_author(Platform& platform, const Request& request);
Response list_opt_outs(Platform& platform, const Request& request);
Response change_opt_out(Platform& platform, const Request& request);

// routes_ads.cc
Response write_ads(Platform& platform, const Request& request);
Response get_ad_job(Platform& platform, const Request& request);
Response list_campaigns(Platform& platform, const Request& request);
Response get_campaign(Platform& platform, const Request& request);
Response approve_campaign(Platform& platform, const Request& request);
Response set_campaign_state(Platform& platform, const Request& request);
Response check_ad(Platform& platform, const Request& request);
Response decide_ad(Platform& platform, const Request& request);
Response record_ad_event(Platform& platform, const Request& request);
Response set_ad_opt_out(Platform& platform, const Request& request);
Response list_library(Platform& platform, const Request& request);
Response get_library_entry(Platform& platform, const Request& request);

// routes_training.cc
Response list_training(Platform& platform, const Request& request);

// routes_status.cc
Response list_audit(Platform& platform, const Request& request);
Response plan_cluster(Platform& platform, const Request& request);
Response get_info(Platform& platform, const Request& request);
Response get_health(Platform& platform, const Request& request);
Response get_readiness(Platform& platform, const Request& request);
Response get_metrics(Platform& platform, const Request& request);

}  // namespace starling
