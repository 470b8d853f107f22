#include "app/search_session.h"

#include <algorithm>
#include <filesystem>

#include "core/json.h"
#include "search/vector_index.h"

namespace starling {
namespace {

std::unique_ptr<Engine> load_embedder(const Workspace& workspace) {
  const std::optional<VectorsHeader> header = read_vectors_header(workspace.index());
  if (!header || !std::filesystem::exists(workspace.model(header->model) / "config.json")) return nullptr;
  return Engine::load(workspace.model(header->model));
}

}  // namespace

SearchSession::SearchSession(const GlobalOptions& options)
    : workspace_(options.open_workspace()),
      config_(options.config()),
      posts_(workspace_.posts()),
      control_(workspace_.control_db()),
      embedder_(load_embedder(workspace_)),
      service_(std::make_unique<SearchService>(workspace_, config_, posts_, control_, embedder_.get())) {}

nlohmann::ordered_json hit_json(const SearchHit& hit) {
  return {{"post", parse_ordered_json(to_json_line(hit.post))},
          {"score", hit.score},
          {"lexical_score", hit.lexical_score},
          {"vector_score", hit.vector_score},
          {"snippet_html", hit.snippet_html}};
}

std::string one_line(std::string_view text, size_t max_bytes) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  if (out.size() <= max_bytes) return out;
  while (max_bytes > 0 && (static_cast<unsigned char>(out[max_bytes]) & 0xc0) == 0x80) --max_bytes;
  return out.substr(0, max_bytes) + "…";
}

}  // namespace starling
