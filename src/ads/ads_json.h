// The advertising shapes as JSON, as docs/formats/http-api.md gives them: `nlohmann::json body = campaign;`
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "ads/campaign.h"

namespace starling {

void to_json(nlohmann::json& json, const Brief& brief);
void to_json(nlohmann::json& json, const AdAudience& audience);
void to_json(nlohmann::json& json, const RefusedAudience& audience);
void to_json(nlohmann::json& json, const Claim& claim);
void to_json(nlohmann::json& json, const Variant& variant);
void to_json(nlohmann::json& json, const Campaign& campaign);
void to_json(nlohmann::json& json, const AdDecision& ad);
void to_json(nlohmann::json& json, const DecideResult& result);  // {"ad":{...}} or {"ad":null,"reason":"..."}
void to_json(nlohmann::json& json, const LibraryEntry& entry);

void from_json(const nlohmann::json& json, AdAudience& audience);
void from_json(const nlohmann::json& json, RefusedAudience& audience);
void from_json(const nlohmann::json& json, Claim& claim);
void from_json(const nlohmann::json& json, Variant& variant);
void from_json(const nlohmann::json& json, AdDecision& ad);
void from_json(const nlohmann::json& json, DecideResult& result);

// The body of POST /v1/ads/decide. Throws DataError that names the field.
DecideRequest decide_request_from_json(std::string_view body);

}  // namespace starling
