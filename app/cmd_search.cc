#include <fmt/format.h>

#include <memory>

#include "app/command.h"
#include "app/search_session.h"
#include "core/error.h"
#include "core/json.h"
#include "core/time.h"

namespace starling {
namespace {

struct SearchArguments {
  std::string query, stage = "ranked";
  int limit = 10, offset = 0;
  bool facets = false;
};

SearchStage stage_of(const std::string& name) {
  return name == "lexical"    ? SearchStage::lexical
         : name == "feedback" ? SearchStage::feedback
         : name == "vector"   ? SearchStage::vector
         : name == "fused"    ? SearchStage::fused
                              : SearchStage::ranked;
}

void print_text(const SearchResult& result) {
  for (const SearchHit& hit : result.hits)
    fmt::print("{:.3f}  {}  {}  {}\n    {}\n", hit.score, hit.post.id, hit.post.author, format_time(hit.post.time_s),
               one_line(hit.post.text, 300));
  if (!result.facets_complete) fmt::print("Counted in the {} posts that came last:\n", result.facet_posts);
  for (const Facet& facet : result.facets) {
    fmt::print("{}:", facet.field);
    for (const auto& [value, count] : facet.counts) fmt::print(" {} ({})", value, count);
    fmt::print("\n");
  }
  if (!result.corrected_query.empty()) fmt::print("Did you mean: {}\n", result.corrected_query);
  fmt::print("{} of about {} posts, {:.1f} ms\n", result.hits.size(), result.estimated_total, result.took_ms);
}

void print_json(const SearchResult& result) {
  nlohmann::ordered_json json = {{"hits", nlohmann::json::array()}, {"estimated_total", result.estimated_total}};
  for (const SearchHit& hit : result.hits) json["hits"].push_back(hit_json(hit));
  for (const Facet& facet : result.facets) json["facets"].push_back({{"field", facet.field}, {"counts", facet.counts}});
  if (!result.facets.empty()) {
    json["facet_posts"] = result.facet_posts;
    json["facets_complete"] = result.facets_complete;
  }
  json["corrected_query"] = result.corrected_query;
  json["took_ms"] = result.took_ms;
  fmt::print("{}\n", dump_json_lossy(json, 2));
}

}  // namespace

void add_search(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("search", "Search the posts");
  auto arguments = std::make_shared<SearchArguments>();
  command.add_option("query", arguments->query, "The query").required();
  command.add_option("--stage", arguments->stage, "How far the ranking goes")
      .one_of({"lexical", "feedback", "vector", "fused", "ranked"})
      .show_default();
  command.add_option("--limit", arguments->limit, "Posts to show").between(1, 100).show_default();
  command.add_option("--offset", arguments->offset, "Posts to skip").between(0, 1000).show_default();
  command.add_flag("--facets", arguments->facets, "Count authors, communities, languages, hashtags and days");
  command.footer(
      "Words \"phrases\" from:name in:community lang:en since:2017-01-01 until:2017-12-31 min_likes:5 #tag @name -word "
      "+word a OR b\n"
      "Examples:\n  starling search 'linux laptop'\n  starling search '\"flu shot\" lang:en -ad' --facets\n"
      "  starling search --json -- '-spam mail'");
  command.callback([arguments, &options] {
    SearchSession session(options);
    const SearchResult result = session.service().search({.query = arguments->query,
                                                          .limit = arguments->limit,
                                                          .offset = arguments->offset,
                                                          .stage = stage_of(arguments->stage),
                                                          .facets = arguments->facets});
    options.json ? print_json(result) : print_text(result);
  });
}

}  // namespace starling
