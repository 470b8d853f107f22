// API keys as people make, change and end them: the change and its audit record ("key.created", "key.changed",
// "key.revoked") together. A record holds the key's name, role and limits, never the key or its digest. Thread-safe.
#pragma once

#include <optional>
#include <string>

#include "store/control_db.h"

namespace starling {

// Returns the clear key. Throws ConfigError as ControlDb::create_key does.
std::string grant_key(ControlDb& control, const ApiKey& key);

// The key as it is now; none when nobody has that name.
std::optional<ApiKey> change_key(ControlDb& control, const std::string& name, const KeyLimitChange& change);

// False when nobody has that name.
bool withdraw_key(ControlDb& control, const std::string& name);

}  // namespace starling
