// Digests: SHA-256 for integrity and the audit chain, HMAC-SHA-256 for signatures, XXH3 for tables.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace starling {

std::string sha256_hex(std::string_view data);                   // 64 lower-case hex digits
std::string sha256_file_hex(const std::filesystem::path& path);  // throws IoError
std::string hmac_sha256_hex(std::string_view key, std::string_view data);
bool constant_time_equal(std::string_view a, std::string_view b);  // time depends on the length only
std::string random_hex(int bytes);                                 // from the system's secure generator
uint64_t hash64(std::string_view data, uint64_t seed = 0);         // XXH3, stable across machines

}  // namespace starling
