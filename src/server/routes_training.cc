// The runs under runs/: their log, their state and their model card, as the trainer left them.
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <sstream>

#include "core/file.h"
#include "core/json.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxPoints = 2000;  // more than a chart has pixels; longer logs are thinned evenly

// The whole lines of log.jsonl; a line that the trainer is just writing is left out.
json read_points(const fs::path& log) {
  std::vector<json> points;
  std::istringstream lines(fs::exists(log) ? read_file(log) : std::string());
  for (std::string line; std::getline(lines, line);)
    if (json point = try_parse_json(line); point.is_object()) points.push_back(std::move(point));
  json kept = json::array();
  const size_t stride = points.size() / kMaxPoints + 1;
  for (size_t i = 0; i < points.size(); ++i)
    if (i % stride == 0 || i + 1 == points.size()) kept.push_back(std::move(points[i]));
  return kept;
}

// The trainer's lock file names its process.
bool is_training(const fs::path& lock) {
  if (!fs::exists(lock)) return false;
  const std::string text = read_file(lock);
  int process = 0;
  std::from_chars(text.data(), text.data() + text.size(), process);
  return process > 0 && (kill(process, 0) == 0 || errno == EPERM);  // EPERM: another user's
}

json read_run(const Workspace& workspace, const std::string& name) {
  const fs::path folder = workspace.run(name), card = folder / "card.md";
  const bool done = fs::exists(card);  // written last
  const bool running = !done && is_training(workspace.model_lock(name));
  return {{"name", name},
          {"state", done      ? "done"
                    : running ? "running"
                              : "stopped"},
          {"points", read_points(folder / "log.jsonl")},
          {"card_markdown", done ? read_file(card) : std::string()}};
}

}  // namespace

Response list_training(Platform& platform, const Request&) {
  std::vector<std::string> names;
  if (fs::exists(platform.workspace.runs()))
    for (const auto& entry : fs::directory_iterator(platform.workspace.runs()))
      if (entry.is_directory() && fs::exists(entry.path() / "log.jsonl")) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  json runs = json::array();
  for (const std::string& name : names) runs.push_back(read_run(platform.workspace, name));
  return json_response(json{{"runs", std::move(runs)}});
}

}  // namespace starling
