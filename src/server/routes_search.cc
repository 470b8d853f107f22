#include <fmt/format.h>

#include "core/json.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"

namespace starling {
namespace {

using nlohmann::json;

constexpr size_t kMaxQueryBytes = 2000;

SearchStage stage_of(const std::string& name) {
  if (name == "lexical") return SearchStage::lexical;
  if (name == "feedback") return SearchStage::feedback;
  if (name == "vector") return SearchStage::vector;
  if (name == "fused") return SearchStage::fused;
  if (name == "ranked") return SearchStage::ranked;
  throw wrong_field("stage", "lexical, feedback, vector, fused or ranked");
}

std::string bounded_text(const JsonBody& body, const char* name) {
  std::string text = body.text(name);
  if (text.size() > kMaxQueryBytes)
    throw HttpError(400, "invalid_field", fmt::format("`{}` may have {} bytes", name, kMaxQueryBytes), name);
  return text;
}

json to_json(const SearchHit& hit) {
  return {{"post", parse_json(to_json_line(hit.post))},
          {"score", hit.score},
          {"lexical_score", hit.lexical_score},
          {"vector_score", hit.vector_score},
          {"snippet_html", hit.snippet_html}};
}

json to_json(const std::vector<SearchHit>& hits) {
  json list = json::array();
  for (const SearchHit& hit : hits) list.push_back(to_json(hit));
  return list;
}

json to_json(const std::vector<Facet>& facets) {
  json list = json::array();
  for (const Facet& facet : facets) list.push_back({{"field", facet.field}, {"counts", facet.counts}});
  return list;
}

}  // namespace

Response search_posts(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const SearchRequest query{.query = bounded_text(body, "query"),
                            .limit = static_cast<int>(body.integer("limit", 10, 1, 100)),
                            .offset = static_cast<int>(body.integer("offset", 0, 0, 1000)),
                            .stage = stage_of(body.text("stage", "ranked")),
                            .facets = body.boolean("facets", false)};
  SearchService& search = platform.require_search();
  try {
    const SearchResult result = search.search(query);
    return json_response(json{{"hits", to_json(result.hits)},
                              {"estimated_total", result.estimated_total},
                              {"facets", to_json(result.facets)},
                              {"facet_posts", result.facet_posts},
                              {"facets_complete", result.facets_complete},
                              {"corrected_query", result.corrected_query},
                              {"took_ms", result.took_ms}});
  } catch (const DataError& error) {
    throw HttpError(400, "bad_query", error.what(), "query");
  } catch (const ConfigError& error) {
    throw HttpError(503, "no_vectors", error.what(), "stage");
  }
}

Response ask_posts(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const std::string question = bounded_text(body, "question");
  const Service service{.tenant = request.key.name, .cancelled = request.cancelled};
  const AskAnswer answer = platform.require_search().ask(question, platform.models.writer(), service);
  json sentences = json::array();
  for (const AskSentence& sentence : answer.sentences)
    sentences.push_back({{"text", sentence.text}, {"post_ids", sentence.post_ids}});
  return json_response(json{{"answered", answer.answered},
                            {"sentences", std::move(sentences)},
                            {"sources", to_json(answer.sources)},
                            {"message", answer.answered ? "" : "no answer in the posts"}});
}

}  // namespace starling
