// What this machine can do at most, measured: the limits that benchmarks divide by. Each takes about 0.3 s.
#pragma once

namespace starling {

// Operations a second (a multiply-add counts as two) of the widest product instruction, on registers only, with all
// compute threads: `int8` is vpdpbusd, `bf16` vdpbf16ps, `f32` fused multiply-add. Where the processor lacks the
// instruction, that of the next wider type is measured: what a program could do at best.
struct ProductPeaks {
  double int8 = 0, bf16 = 0, f32 = 0;
};
ProductPeaks measure_product_peaks();

// Bytes a second of reading memory far larger than any cache in order, with all compute threads; the best of several.
double measure_read_bandwidth();

}  // namespace starling
