#include "train/run_log.h"

#include <limits>
#include <sstream>

#include "core/file.h"
#include "core/json.h"
#include "core/svg_plot.h"

namespace starling {
namespace {

std::string to_line(const LogPoint& p) {
  nlohmann::ordered_json json = {{"step", p.step}, {"tokens", p.tokens}, {"loss", p.loss}};
  if (p.validation_bits_per_byte) json["validation_bits_per_byte"] = *p.validation_bits_per_byte;
  json.update({{"tokens_per_s", p.tokens_per_s},
               {"fraction_of_peak", p.fraction_of_peak},
               {"learning_rate", p.learning_rate},
               {"grad_norm", p.grad_norm},
               {"time_s", p.time_s},
               {"skipped_steps", p.skipped_steps}});
  if (p.noise_scale_tokens) json["noise_scale_tokens"] = *p.noise_scale_tokens;
  json["gradient_norms"] = p.gradient_norms;
  json["weight_norms"] = p.weight_norms;
  if (!p.largest_expert_shares.empty()) json["largest_expert_shares"] = p.largest_expert_shares;
  return dump_json(json) + "\n";
}

// JSON has no number for what is not finite, the loss of a step that was skipped for it: it stands there as null.
double number(const nlohmann::json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

std::vector<double> numbers(const nlohmann::json& json, const char* name) {
  std::vector<double> found;
  for (const nlohmann::json& value : json.value(name, nlohmann::json::array())) found.push_back(number(value));
  return found;
}

LogPoint from_json(const nlohmann::json& json) {
  LogPoint p{
      json.at("step"),         json.at("tokens"),           number(json.at("loss")),  std::nullopt,
      json.at("tokens_per_s"), json.at("fraction_of_peak"), json.at("learning_rate"), number(json.at("grad_norm")),
      json.at("time_s")};
  if (json.contains("validation_bits_per_byte"))
    p.validation_bits_per_byte = number(json.at("validation_bits_per_byte"));
  if (json.contains("noise_scale_tokens")) p.noise_scale_tokens = json.at("noise_scale_tokens").get<double>();
  p.skipped_steps = json.value("skipped_steps", int64_t{0});
  p.gradient_norms = numbers(json, "gradient_norms");
  p.weight_norms = numbers(json, "weight_norms");
  p.largest_expert_shares = numbers(json, "largest_expert_shares");
  return p;
}

}  // namespace

RunLog::RunLog(std::filesystem::path run_folder, int64_t last_step) : folder_(std::move(run_folder)) {
  const std::filesystem::path path = folder_ / "log.jsonl";
  std::string kept;
  if (std::filesystem::exists(path)) {
    std::istringstream lines(read_file(path));
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json json = try_parse_json(line);
      if (json.is_discarded() || json.value("step", last_step + 1) > last_step) break;
      points_.push_back(from_json(json));
      kept += line + "\n";
    }
  }
  write_file_atomic(path, kept);
}

void RunLog::add(const LogPoint& point) {
  points_.push_back(point);
  AppendFile(folder_ / "log.jsonl").append(to_line(point));
}

void RunLog::plot() const {
  PlotLine loss{"training, nats a token", {}}, validation{"later posts, bits a byte", {}};
  for (const LogPoint& p : points_) {
    loss.points.emplace_back(static_cast<double>(p.tokens), p.loss);
    if (p.validation_bits_per_byte)
      validation.points.emplace_back(static_cast<double>(p.tokens), *p.validation_bits_per_byte);
  }
  write_file_atomic(folder_ / "loss.svg",
                    svg_line_plot({"Loss of " + folder_.filename().string(), "tokens", "loss"}, {loss, validation}));
}

}  // namespace starling
