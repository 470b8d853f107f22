#include "infer/read_parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "infer/weights.h"

namespace starling {

void read_parameters(Parameters& parameters, const std::filesystem::path& model_folder, const ModelConfig& config) {
  constexpr int64_t kRows = 512;
  const std::unique_ptr<WeightSource> source = open_weights(model_folder, config);
  for (size_t i = 0; i < parameters.list().size(); ++i) {
    const Parameter& parameter = parameters.list()[i];
    const std::unique_ptr<TensorReader> reader = source->open(parameter.name);
    if (reader->shape() != parameter.shape)
      throw DataError(
          fmt::format("{}: tensor {} has another shape than config.json wants", model_folder.string(), parameter.name));
    const int64_t columns = parameter.shape.back(), rows = parameter.elements / columns;
    std::vector<float> values(static_cast<size_t>(std::min(rows, kRows) * columns));
    for (int64_t first = 0; first < rows; first += kRows) {
      const int64_t count = std::min(kRows, rows - first);
      parallel_for(count, 16, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row)
          reader->read_row(first + row,
                           std::span(values).subspan(static_cast<size_t>(row * columns), static_cast<size_t>(columns)));
      });
      if (parameter.is_matrix()) parameters.assign(i, {values.data(), DType::f32, {count, columns}}, first);
      else parameters.assign(i, {values.data(), DType::f32, {columns}});
    }
  }
}

}  // namespace starling
