#include "app/operator_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace starling {

nlohmann::ordered_json operator_table(const std::vector<OperatorProfile>& operators, double seconds, double peak,
                                      double bandwidth) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  double rest = seconds;
  for (const OperatorProfile& o : operators) {
    const double least_s = std::max(o.flops / peak, o.bytes / bandwidth);
    rows.push_back({{"operator", o.name},
                    {"calls", o.calls},
                    {"time_s", o.seconds},
                    {"share", o.seconds / seconds},
                    {"gflop", o.flops / 1e9},
                    {"gb", o.bytes / 1e9},
                    {"limit", o.flops / peak > o.bytes / bandwidth ? "arithmetic" : "memory"},
                    {"fraction_of_limit", least_s / o.seconds}});
    rest -= o.seconds;
  }
  rows.push_back({{"operator", "rest"}, {"time_s", rest}, {"share", rest / seconds}});
  return rows;
}

void print_operator_table(const nlohmann::ordered_json& rows) {
  fmt::print("{:24} {:>6} {:>9} {:>6} {:>10} {:>9}  {}\n", "operator", "calls", "time s", "share", "GFLOP", "GB",
             "of the nearer limit");
  for (const auto& row : rows) {
    fmt::print("{:24} {:>6} {:9.4f} {:5.1f}%", row["operator"].get<std::string>(), row.value("calls", 0),
               row["time_s"].get<double>(), 100 * row["share"].get<double>());
    if (row.contains("limit"))
      fmt::print(" {:10.2f} {:9.3f}  {:.0f} % ({})", row["gflop"].get<double>(), row["gb"].get<double>(),
                 100 * row["fraction_of_limit"].get<double>(), row["limit"].get<std::string>());
    fmt::print("\n");
  }
}

}  // namespace starling
