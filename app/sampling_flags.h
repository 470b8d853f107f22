// What `generate` and `chat` have in common: the flags of sampling, and a generation as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "app/command.h"
#include "infer/engine.h"

namespace starling {

void add_sampling_flags(Command command, SamplingOptions& sampling);
const char* name_of(FinishReason reason);
nlohmann::ordered_json to_json(const Generation& generation);
double decode_tokens_per_s(const Generation& generation);  // of the tokens after the first

}  // namespace starling
