// Personal data in a text becomes a typed mark: [EMAIL] [PHONE] [IP] [CARD] [IBAN]. Rules rather than a model, so that
// what is replaced can be explained; where a rule is unsure (a date, a price, a version, a hashtag) the text stays.
//   e-mail  local@domain.tld
//   IP      IPv4 with four octets that no word such as "version" precedes; IPv6 that the system's parser accepts
//   card    13 to 19 digits, an issuer's first digits and length (ISO/IEC 7812), Luhn's check digit
//   IBAN    country and length (ISO 13616), check digits modulo 97 (ISO 7064)
//   phone   +country number; North American 3-3-4; national with leading 0; Chinese mobile; 7 to 15 digits after a word
//           such as "call"
// Digits inside URLs stay.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace starling {

enum class PersonalData { kEmail, kPhone, kIp, kCard, kIban };
inline constexpr size_t kPersonalDataKinds = 5;
inline constexpr std::array<const char*, kPersonalDataKinds> kPersonalDataMarks = {"[EMAIL]", "[PHONE]", "[IP]",
                                                                                   "[CARD]", "[IBAN]"};

using PersonalDataCounts = std::array<uint64_t, kPersonalDataKinds>;  // indexed by PersonalData

// Adds what was replaced to `counts` when it is given.
std::string replace_personal_data(std::string_view text, PersonalDataCounts* counts = nullptr);

bool passes_luhn(std::string_view digits);  // digits only
bool is_valid_iban(std::string_view iban);  // without spaces, upper case

}  // namespace starling
