// The page's files, from one folder. A path that leaves the folder, a dot file or a link is never served; a path
// without a file extension is one of the page's own views and gets index.html.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "server/http.h"

namespace starling {

class Page {
 public:
  explicit Page(std::filesystem::path folder) : folder_(std::move(folder)) {}  // empty: there is no page
  bool installed() const;
  Response serve(const Request& request) const;  // throws HttpError 404

  // `configured` when it is not empty, else web/dist of the source tree or share/starling/page beside the program's
  // folder, whichever is there; else an empty path.
  static std::filesystem::path find_folder(const std::string& configured);

 private:
  std::filesystem::path folder_;
};

}  // namespace starling
