#include "core/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace starling {

IoError io_error(const std::string& path, const std::string& what) {
  const int code = errno;
  return IoError(fmt::format("{}: {}: {}", path, what, std::strerror(code)));
}

}  // namespace starling
