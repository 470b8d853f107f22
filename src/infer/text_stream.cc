#include "infer/text_stream.h"

#include <algorithm>
#include <numeric>

#include "tokenizer/utf8.h"

namespace starling {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Bytes that a character starting with this byte has; 1 for a byte that starts none.
size_t announced_length(unsigned char first) {
  if (first >= 0xf0 && first <= 0xf4) return 4;
  if (first >= 0xe0) return first < 0xf0 ? 3 : 1;
  return first >= 0xc2 && first < 0xe0 ? 2 : 1;
}

bool may_become_character(std::string_view bytes) {
  return bytes.size() < announced_length(static_cast<unsigned char>(bytes[0])) &&
         std::all_of(bytes.begin() + 1, bytes.end(),
                     [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; });
}

// The longest end of `text` that a stop string starts with.
size_t held_back(std::string_view text, const std::string& stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.ends_with(std::string_view(stop).substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stop) : stop_(std::move(stop)) {
  std::erase_if(stop_, [](const std::string& text) { return text.empty(); });
}

std::string TextStream::push(std::string_view bytes) {
  if (stopped_) return {};
  bytes_ += bytes;
  take_characters(false);
  return release(false);
}

std::string TextStream::finish() {
  if (stopped_) return {};
  take_characters(true);
  return release(true);
}

void TextStream::take_characters(bool at_end) {
  std::string_view left = bytes_;
  while (!left.empty()) {
    const size_t length = utf8_length(left);
    if (length == 0 && !at_end && may_become_character(left)) break;
    held_ += length == 0 ? kReplacement : left.substr(0, length);
    widths_.resize(held_.size(), length == 0 ? 0 : 1);
    if (length == 0) widths_.back() = 1;
    left.remove_prefix(std::max<size_t>(length, 1));
  }
  bytes_ = std::string(left);
}

std::string TextStream::release(bool at_end) {
  size_t end = held_.size();
  for (const std::string& stop : stop_) {
    const size_t at = held_.find(stop);
    if (at != std::string::npos) {
      stopped_ = true;
      end = std::min(end, at);
    }
  }
  if (!stopped_ && !at_end) {
    for (const std::string& stop : stop_) end = std::min(end, held_.size() - held_back(held_, stop));
  }
  std::string text = held_.substr(0, end);
  held_.erase(0, end);
  const auto last = widths_.begin() + static_cast<std::ptrdiff_t>(end);
  bytes_given_ = std::accumulate(widths_.begin(), last, bytes_given_);
  widths_.erase(widths_.begin(), last);
  return text;
}

}  // namespace starling
