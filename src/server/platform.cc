#include "server/platform.h"

#include <malloc.h>
#include <spdlog/spdlog.h>

#include "server/http.h"

namespace starling {
namespace {

std::unique_ptr<SearchService> open_search(Platform& platform) try {
  return std::make_unique<SearchService>(platform.workspace, platform.config, platform.posts, platform.control,
                                         platform.models.embedder());
} catch (const Error& error) {
  spdlog::error("search: {}", error.what());
  return nullptr;
}

// Of all models together.
void add_engine_gauges(Platform& platform) {
  const auto add = [&](const char* name, const char* help, double (*read)(const EngineStats&)) {
    platform.metrics.add_gauge(name, help, [&models = platform.models, read] {
      double sum = 0;
      for (const std::string& model : models.names()) sum += read(models.find(model).stats());
      return sum;
    });
  };
  using Stats = const EngineStats&;
  add("starling_prompt_tokens_cached", "Prompt tokens that came from the prefix cache since the start",
      [](Stats s) { return static_cast<double>(s.cached_tokens); });
  add("starling_preemptions", "Sequences that gave their pages back and were computed again, since the start",
      [](Stats s) { return static_cast<double>(s.preemptions); });
  add("starling_engine_jobs", "Requests that the engine works on or holds back",
      [](Stats s) { return static_cast<double>(s.jobs); });
  add("starling_kv_pages", "Pages for keys and values, of 16 tokens",
      [](Stats s) { return static_cast<double>(s.pages); });
  add("starling_kv_pages_used", "Those that sequences or the prefix cache hold",
      [](Stats s) { return static_cast<double>(s.pages_used); });
  add("starling_kv_pages_cached", "Those of them that the prefix cache holds, alone or with sequences",
      [](Stats s) { return static_cast<double>(s.pages_cached); });
}

void add_model_gauges(Platform& platform) {
  for (const std::string& model : platform.models.names())
    platform.metrics.add_gauge("starling_model_loaded", "1 when the model is in memory",
                               [&models = platform.models, model] { return models.is_loaded(model) ? 1.0 : 0.0; },
                               {{"model", model}});
}

// A leak makes both grow, a heap that is full of holes only the second.
void add_heap_gauges(Metrics& metrics) {
  metrics.add_gauge("starling_heap_used_bytes", "Memory that is allocated", [] {
    const struct mallinfo2 heap = mallinfo2();
    return static_cast<double>(heap.uordblks + heap.hblkhd);
  });
  metrics.add_gauge("starling_heap_bytes", "Memory that the heaps have from the system", [] {
    const struct mallinfo2 heap = mallinfo2();
    return static_cast<double>(heap.arena + heap.hblkhd);
  });
}

}  // namespace

Platform::Platform(const Workspace& where, const Config& settings, const ServerOptions& server_options)
    : workspace(where),
      config(settings),
      options(server_options),
      control(workspace.control_db()),
      posts(workspace.posts()),
      audit(control),
      quota(control, options.tokens_per_day),
      models(workspace, options),
      search(open_search(*this)),
      ads(control, search.get(), models.writer(), ads_options(config)),
      ad_jobs(ads),
      page(Page::find_folder(options.page_folder)),
      problems(models.problems()) {
  if (!search)
    problems.push_back("the search index cannot be opened; run `starling index`, then start the server again");
  if (!page.installed()) problems.push_back("the page is not built; run `make build`");
  metrics.add_gauge("starling_posts", "Posts in the workspace", [this] { return static_cast<double>(posts.size()); });
  metrics.add_gauge("starling_indexed_posts", "Posts in the search index",
                    [this] { return search ? static_cast<double>(search->indexed_posts()) : 0.0; });
  add_engine_gauges(*this);
  add_model_gauges(*this);
  add_heap_gauges(metrics);
}

SearchService& Platform::require_search() const {
  if (search) return *search;
  throw HttpError(503, "no_index", "this server has no search index; run `starling index`, then start it again");
}

}  // namespace starling
