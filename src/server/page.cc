#include "server/page.h"

#include <fmt/format.h>

#include <map>

#include "core/file.h"
#include "core/hash.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

// Scripts and styles only from here: text of a post that slips into the page as markup still cannot run.
constexpr const char* kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const char* content_type(const fs::path& file) {
  static const std::map<std::string, const char*> kTypes = {{".html", "text/html; charset=utf-8"},
                                                            {".js", "text/javascript; charset=utf-8"},
                                                            {".css", "text/css; charset=utf-8"},
                                                            {".svg", "image/svg+xml"},
                                                            {".png", "image/png"},
                                                            {".ico", "image/x-icon"},
                                                            {".woff2", "font/woff2"},
                                                            {".json", "application/json"},
                                                            {".webmanifest", "application/manifest+json"},
                                                            {".txt", "text/plain; charset=utf-8"},
                                                            {".map", "application/json"}};
  const auto known = kTypes.find(file.extension().string());
  return known == kTypes.end() ? "application/octet-stream" : known->second;
}

// A segment that names a file or folder and nothing else. Encoded slashes have been decoded by now.
bool is_plain_name(const std::string& segment) {
  return !segment.empty() && segment.front() != '.' && segment.find_first_of("/\\") == std::string::npos;
}

HttpError not_found() { return HttpError(404, "not_found", "there is no such file"); }

}  // namespace

bool Page::installed() const { return !folder_.empty() && fs::is_regular_file(folder_ / "index.html"); }

Response Page::serve(const Request& request) const {
  if (!installed())
    throw HttpError(404, "no_page", "the page is not installed; build it with `make build` or set server.page_folder");
  fs::path file = folder_;
  std::error_code ignored;  // a name that is too long is no file's
  for (const std::string& segment : request.path) {
    if (segment.empty() && &segment == &request.path.back()) break;  // "/" and "/search/"
    if (!is_plain_name(segment)) throw not_found();
    file /= segment;
    if (fs::is_symlink(file, ignored)) throw not_found();
  }
  const bool is_view = !fs::is_regular_file(file, ignored) && !file.has_extension();
  if (is_view || file == folder_) file = folder_ / "index.html";
  if (!fs::is_regular_file(file, ignored)) throw not_found();

  Response response{.content_type = content_type(file), .body = read_file(file)};
  const std::string tag = fmt::format("\"{:016x}\"", hash64(response.body));
  // Vite names the files under assets/ by their content, so they never change.
  const bool never_changes = !request.path.empty() && request.path.front() == "assets";
  response.headers = {{"Content-Security-Policy", kPagePolicy},
                      {"Cache-Control", never_changes ? "public, max-age=31536000, immutable" : "no-cache"},
                      {"ETag", tag}};
  if (request.if_none_match == tag) {
    response.status = 304;
    response.body.clear();
  }
  return response;
}

fs::path Page::find_folder(const std::string& configured) {
  if (!configured.empty()) return configured;
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  // build/release/starling -> web/dist;  /usr/local/bin/starling -> /usr/local/share/starling/page
  for (const char* place : {"../../web/dist", "../share/starling/page", "../web/dist"}) {
    const fs::path folder = (program.parent_path() / place).lexically_normal();
    if (fs::is_regular_file(folder / "index.html", ignored)) return folder;
  }
  return {};
}

}  // namespace starling
