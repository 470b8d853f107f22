#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/time.h"
#include "server/deletion.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"
#include "store/opt_out.h"

namespace starling {
namespace {

Post read_post(const std::string& body) {
  if (json_depth(body) > kMaxJsonDepth) throw HttpError(400, "too_deep", "the body's JSON is nested too deep");
  try {
    Post post = post_from_json(body);
    if (post.time_s == 0) post.time_s = now_s();
    return post;
  } catch (const DataError& error) {
    throw HttpError(400, "invalid_post", error.what());
  }
}

void refuse_deleted(const Platform& platform, const Post& post) {
  if (platform.control.is_deleted(post.id, post.author))
    throw HttpError(409, "deleted", "this post or its author was deleted; it is not taken again");
}

// True when the post is new. It is durable when this returns.
bool store(Platform& platform, const Post& post) try {
  refuse_deleted(platform, post);
  const bool created = platform.posts.append(post);
  // A deletion that came between the two has purged the store before the post was there.
  if (created && platform.control.is_deleted(post.id, post.author))
    platform.posts.purge({.posts = {post.id}, .authors = {}});
  refuse_deleted(platform, post);
  return created;
} catch (const IoError& error) {
  spdlog::error("storing a post: {}", error.what());
  throw HttpError(503, "store_unavailable", "the post could not be stored and nothing of it was kept; try again later");
}

// False when the post is stored but cannot be found yet: it will be, after the next start.
bool make_searchable(Platform& platform, const Post& post) try {
  if (platform.search) platform.search->add(post);
  return platform.search != nullptr;
} catch (const IoError& error) {
  spdlog::error("indexing a new post: {}", error.what());
  return false;
}

Response delete_and_report(Platform& platform, const Request& request, const std::string& kind) {
  const std::string id = request.parameters.at("id");
  const DeletionReport report = delete_content(platform.workspace, platform.control, platform.posts,
                                               platform.search.get(), kind, id, "API request of " + request.key.name);
  platform.models.forget_prefixes();
  platform.metrics.count_post("deleted");
  return {.body = to_json_text(report)};
}

}  // namespace

Response create_post(Platform& platform, const Request& request) {
  const Post post = read_post(request.body);
  const bool created = store(platform, post);
  if (!created) return json_response(nlohmann::json{{"id", post.id}, {"created", false}});
  const bool searchable = make_searchable(platform, post);
  platform.metrics.count_post("created");
  return json_response(nlohmann::json{{"id", post.id}, {"created", true}, {"searchable", searchable}}, 201);
}

Response delete_post(Platform& platform, const Request& request) {
  return delete_and_report(platform, request, "post");
}
Response delete_author(Platform& platform, const Request& request) {
  return delete_and_report(platform, request, "author");
}

Response list_opt_outs(Platform& platform, const Request& request) {
  const std::string& author = request.parameters.at("id");
  nlohmann::json purposes = nlohmann::json::array();
  for (const char* purpose : kOptOutPurposes)
    if (platform.control.has_opted_out(author, purpose)) purposes.push_back(purpose);
  return json_response(nlohmann::json{{"author", author}, {"opt_outs", purposes}});
}

Response change_opt_out(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const std::string purpose = body.text("purpose");
  if (std::ranges::find(kOptOutPurposes, std::string_view(purpose)) == kOptOutPurposes.end())
    throw wrong_field("purpose", "training, ads or search");
  set_opt_out(platform.control, request.parameters.at("id"), purpose, body.boolean("opt_out", true));
  return list_opt_outs(platform, request);
}

}  // namespace starling
