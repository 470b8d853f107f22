// --weights and --cache: the forms that a model's weights, and keys and values, take in memory.
#pragma once

#include <string>

#include "app/command.h"
#include "infer/engine.h"

namespace starling {

struct MemoryFlags {
  std::string weights = "auto", cache = "f16";

  EngineOptions engine_options() const { return {.weights = weight_form(weights), .cache = cache_form(cache)}; }
};

inline void add_memory_flags(Command command, MemoryFlags& flags) {
  command
      .add_option("--weights", flags.weights, "Form of the weights in memory; auto: 8 bits, or 4 where they are exact")
      .one_of({"auto", "f32", "bf16", "int8", "int4"})
      .show_default();
  command.add_option("--cache", flags.cache, "Form of keys and values in memory; int8 takes about half")
      .one_of({"f16", "int8"})
      .show_default();
}

}  // namespace starling
