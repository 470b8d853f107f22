// What may be targeted and what may be said.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ads/campaign.h"

namespace starling {

// "health", "religion", "politics", "sexuality", "ethnicity" or "minors" when the text names it or a usual proxy of it,
// with the word that does; core terms of several languages.
struct SensitiveTopic {
  std::string topic, word;
};
std::optional<SensitiveTopic> find_sensitive_topic(std::string_view text);

// Why an audience may not be targeted; none when it may. Looks at included and excluded words alike.
std::optional<std::string> refuse_audience(std::string_view name, std::string_view query);

// Against must and must-not phrases, the length, hidden characters and sensitive content; empty when it may run.
std::vector<std::string> policy_problems(const Brief& brief, std::string_view headline, std::string_view body);

std::string ad_label(const Brief& brief);  // "AI-generated ad · paid for by Harbour Roasters Ltd"

}  // namespace starling
