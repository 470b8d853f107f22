// Rounds values to the block formats of GGUF that files are written in: F32, F16, BF16, Q8_0, Q4_0 and Q4_K.
// Formats: model/gguf_blocks.h.
#pragma once

#include <cstddef>
#include <span>

#include "model/gguf_blocks.h"

namespace starling {

bool can_encode_gguf(GgufType type);

// blocks [values.size() / block's values * block's bytes]. Throws ShapeError when the sizes do not fit, DataError for
// another type or a value that is not finite.
void encode_gguf_blocks(GgufType type, std::span<const float> values, std::span<std::byte> blocks);

}  // namespace starling
