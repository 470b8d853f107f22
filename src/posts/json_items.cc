#include "posts/json_items.h"

#include <fmt/format.h>

#include "core/error.h"

namespace starling {

JsonItems::JsonItems(ByteStream& stream, std::string opening, size_t max_bytes)
    : stream_(stream), opening_(std::move(opening)), block_(64 << 10, '\0'), max_bytes_(max_bytes) {}

// Keeps the last byte of the block before, so that one unget() is always possible.
int JsonItems::get() {
  if (position_ == end_) {
    const size_t kept = end_ > 0 ? 1 : 0;
    if (kept > 0) block_[0] = block_[end_ - 1];
    position_ = kept;
    end_ = kept + stream_.read(block_.data() + kept, block_.size() - kept);
    if (position_ == end_) return kEnd;
  }
  return static_cast<unsigned char>(block_[position_++]);
}

void JsonItems::find_list() {
  std::string last;
  for (int c = get(); last != opening_; c = get()) {
    if (c == kEnd) throw DataError(fmt::format("holds no {}, so no list of posts", opening_));
    if (c == '\n') ++line_;
    last += static_cast<char>(c);
    if (last.size() > opening_.size()) last.erase(0, 1);
    if (last == opening_) break;
  }
  for (int c = get(); c != '['; c = get()) {
    if (c == kEnd) throw DataError(fmt::format("holds no list after {}", opening_));
    if (c == '\n') ++line_;
  }
  open_ = true;
}

int JsonItems::first_of_item() {
  for (int c = get();; c = get()) {
    if (c == '\n') ++line_;
    else if (c != ' ' && c != '\t' && c != '\r' && c != ',') return c;
  }
}

void JsonItems::read_item(int c, Item& item) {
  int64_t depth = 0;
  bool in_string = false, escaped = false;
  for (;; c = get()) {
    if (c == kEnd) return;  // the next call says so
    if (depth == 0 && !in_string && (c == ',' || c == ']') && !item.text.empty()) return unget();
    if (item.text.size() < max_bytes_) item.text += static_cast<char>(c);
    else item.too_long = true;
    if (c == '\n') {
      ++line_;
      in_string = escaped = false;
    } else if (in_string) {
      in_string = escaped || c != '"';
      escaped = !escaped && c == '\\';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (--depth <= 0) return;
    }
  }
}

bool JsonItems::next(Item& item) {
  if (!open_) find_list();
  item = {};
  const int first = first_of_item();
  if (first == kEnd) throw DataError(fmt::format("truncated: it ends at line {} inside its list of posts", line_));
  if (first == ']') return false;
  item.line = line_;
  read_item(first, item);
  return true;
}

}  // namespace starling
