// What this machine can do at most, measured: the limits that every "percent of peak" refers to.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace starling {

enum class Arithmetic { f32, bf16, int8 };  // multiply-adds with sums in f32, f32, i32

// Operations a second (a multiply-add is two) of a loop that touches registers only, with all compute threads and the
// widest instructions of this processor: f32 FMA; AMX's tdpbf16ps, vdpbf16ps or FMA; AMX's tdpbssd, vpdpbusd or the
// three instructions of AVX2. The best of many rounds of a millisecond, all threads at once.
double measure_register_flops(Arithmetic arithmetic, double seconds = 0.2);

// Bytes a second of reading `bytes_per_thread` again and again, with all compute threads, each its own memory; the best
// round.
double measure_read_bytes_per_s(int64_t bytes_per_thread, double seconds = 0.2);

// The higher of the register loop and the product of ops/matmul.h in this type: a slow library must not make a program
// look close to the limit. On a GPU the product alone.
double measure_peak_flops(DType dtype, Device device = Device::cpu);

// Bytes a second of the device's large memory: read on a CPU, copied inside a GPU's, each byte read and written.
double measure_memory_bytes_per_s(Device device = Device::cpu);

}  // namespace starling
