// The roles of API keys, and what a set of them is. Default-deny: a route names the roles that may use it; no role, no
// use.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace starling {

using RoleSet = unsigned;  // bits of Role

enum Role : RoleSet { kRoleAdmin = 1, kRoleRead = 2, kRoleSearch = 4, kRoleAds = 8 };

inline constexpr RoleSet kPublic = 0;  // no key needed
inline constexpr RoleSet kAnyRole =
    kRoleAdmin | kRoleRead | kRoleSearch | kRoleAds;  // `search` and `ads` include `read`
inline constexpr RoleSet kSearchRoles = kRoleAdmin | kRoleSearch;
inline constexpr RoleSet kAdsRoles = kRoleAdmin | kRoleAds;
inline constexpr RoleSet kAdminOnly = kRoleAdmin;

inline constexpr std::array<std::pair<std::string_view, Role>, 4> kRoleNames = {
    {{"admin", kRoleAdmin}, {"read", kRoleRead}, {"search", kRoleSearch}, {"ads", kRoleAds}}};

// The role's bit; 0, which may use nothing, for a name we do not know.
constexpr RoleSet role_of(std::string_view name) {
  for (const auto& [known, role] : kRoleNames)
    if (known == name) return role;
  return 0;
}

}  // namespace starling
