// Where the time of training steps goes, as `bench train --profile` and `train --profile` show it.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "ops/profile.h"

namespace starling {

// Time, operations and bytes of each operator over steps that took `seconds`, and how much of the nearer limit it
// reaches: the longer of operations at the peak (FLOP/s) and bytes at the bandwidth of memory (bytes/s), over its time.
// The last row is the rest of the time.
nlohmann::ordered_json operator_table(const std::vector<OperatorProfile>& operators, double seconds, double peak,
                                      double bandwidth);
void print_operator_table(const nlohmann::ordered_json& rows);

}  // namespace starling
