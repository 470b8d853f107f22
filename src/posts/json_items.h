// The elements of one JSON list of a stream, one at a time: an archive may be a single list that is larger than memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "posts/byte_stream.h"

namespace starling {

class JsonItems {
 public:
  struct Item {
    uint64_t line = 0;      // where it starts, from 1
    std::string text;       // at most max_bytes of it
    bool too_long = false;  // `text` is only the first max_bytes
  };

  // The list is the first one behind the text `opening`: "=" in `window.YTD.tweets.part0 = [ ... ]`.
  JsonItems(ByteStream& stream, std::string opening, size_t max_bytes);

  // False when the list has closed. Throws DataError when there is no such list, or the stream ends inside it. An
  // element is not checked to be JSON; a string never goes over a line end, so a damaged quote costs one element.
  bool next(Item& item);

 private:
  static constexpr int kEnd = -1;
  int get();
  void unget() { --position_; }
  void find_list();
  int first_of_item();
  void read_item(int c, Item& item);

  ByteStream& stream_;
  std::string opening_, block_;
  size_t max_bytes_, position_ = 0, end_ = 0;
  uint64_t line_ = 1;
  bool open_ = false;
};

}  // namespace starling
