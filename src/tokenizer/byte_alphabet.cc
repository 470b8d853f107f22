#include "tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

namespace starling {
namespace {

constexpr int kCharacters = 0x144;  // one past the last character of the alphabet

bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct Alphabet {
  std::array<std::string, 256> character;  // UTF-8 of each byte's character
  std::array<int16_t, kCharacters> byte;   // -1: not in the alphabet

  Alphabet() {
    byte.fill(-1);
    int next = 0x100;
    for (int value = 0; value < 256; ++value) {
      const int code = stands_for_itself(value) ? value : next++;
      byte[code] = static_cast<int16_t>(value);
      if (code < 0x80) {
        character[value] = {static_cast<char>(code)};
      } else {
        character[value] = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
      }
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += alphabet().character[static_cast<unsigned char>(byte)];
  return text;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    int code = static_cast<unsigned char>(text[i]);
    if (code >= 0x80) {  // the alphabet needs no character longer than two bytes
      if ((code & 0xE0) != 0xC0 || i + 1 == text.size() || (text[i + 1] & 0xC0) != 0x80) return std::nullopt;
      code = (code & 0x1F) << 6 | (text[++i] & 0x3F);
    }
    if (code >= kCharacters || alphabet().byte[code] < 0) return std::nullopt;
    bytes += static_cast<char>(alphabet().byte[code]);
  }
  return bytes;
}

}  // namespace starling
