// Base64 of RFC 4648 section 4.
#pragma once

#include <string>
#include <string_view>

namespace starling {

std::string base64_encode(std::string_view bytes);
// Characters outside the alphabet (line ends) are skipped, as RFC 2045 asks of mail readers; '=' ends the data.
std::string base64_decode(std::string_view text);

}  // namespace starling
