// The errors that end an operation. Expected outcomes (no match, queue full, policy refusal) are return values instead.
// A message says where, what, and what to do. Caught only at the edges: main (exit code), a request handler (HTTP
// status), the top of a thread.
#pragma once

#include <stdexcept>
#include <string>

namespace starling {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct ConfigError : Error {
  using Error::Error;
};  // wrong or unknown setting, flag or brief key
struct DataError : Error {
  using Error::Error;
};  // input that does not follow its format
struct IoError : Error {
  using Error::Error;
};  // the operating system refused: missing file, full disk
struct ShapeError : Error {
  using Error::Error;
};  // tensors that do not fit each other
struct DeviceError : Error {
  using Error::Error;
};  // missing device or instruction set
struct CommError : Error {
  using Error::Error;
};  // a collective failed

// IoError with the path, what was tried, and errno's text: io_error("demo/a.bin", "write") -> "demo/a.bin: write: No
// space ..."
IoError io_error(const std::string& path, const std::string& what);

}  // namespace starling
