// --weights: the form that a model's weights take in memory.
#pragma once

#include <string>

#include "app/command.h"

namespace starling {

inline void add_weights_flag(Command command, std::string& form) {
  command.add_option("--weights", form, "Form of the weights in memory; auto: 8 bits, or 4 where they are exact")
      .one_of({"auto", "f32", "bf16", "int8", "int4"})
      .show_default();
}

}  // namespace starling
