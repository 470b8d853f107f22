#include "core/hash.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <xxhash.h>

#include <vector>

#include "core/error.h"
#include "core/file.h"

namespace starling {
namespace {

std::string to_hex(const unsigned char* bytes, size_t size) {
  std::string hex;
  hex.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) fmt::format_to(std::back_inserter(hex), "{:02x}", bytes[i]);
  return hex;
}

}  // namespace

std::string sha256_hex(std::string_view data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(data.data(), data.size(), digest, &size, EVP_sha256(), nullptr) != 1) throw Error("SHA-256 failed");
  return to_hex(digest, size);
}

std::string sha256_file_hex(const std::filesystem::path& path) { return sha256_hex(MappedFile(path).text()); }

std::string hmac_sha256_hex(std::string_view key, std::string_view data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(data.data()),
            data.size(), digest, &size))
    throw Error("HMAC-SHA-256 failed");
  return to_hex(digest, size);
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string random_hex(int bytes) {
  std::vector<unsigned char> data(static_cast<size_t>(bytes));
  if (RAND_bytes(data.data(), bytes) != 1) throw Error("the system's random generator failed");
  return to_hex(data.data(), data.size());
}

uint64_t hash64(std::string_view data, uint64_t seed) { return XXH3_64bits_withSeed(data.data(), data.size(), seed); }

}  // namespace starling
