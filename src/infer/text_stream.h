// Turns the bytes of tokens into text that may be shown: whole UTF-8 characters only, nothing of a stop string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace starling {

class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stop);  // empty stop strings are ignored

  // The text that became final. Held back: an unfinished character, and an end that may be the start of a stop string.
  // Bytes that are not UTF-8 become U+FFFD. After a stop string is complete nothing more is given.
  std::string push(std::string_view bytes);
  std::string finish();  // what was held back, at the end of the tokens
  bool stopped() const { return stopped_; }
  size_t bytes_given() const { return bytes_given_; }  // of those pushed, before one that is not UTF-8 became three

 private:
  void take_characters(bool at_end);
  std::string release(bool at_end);

  std::vector<std::string> stop_;
  std::string bytes_;            // not yet characters
  std::string held_;             // characters not yet given
  std::vector<uint8_t> widths_;  // for each byte of them, how many pushed ones it stands for
  size_t bytes_given_ = 0;
  bool stopped_ = false;
};

}  // namespace starling
