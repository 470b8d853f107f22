// What files with kernels for AVX-512 have in common.
#pragma once

#include <immintrin.h>

// GCC 12 takes the "undefined" registers of its own AVX-512 intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

// Attributes, not compiler flags for a file: an inline function of a header compiled there with AVX-512 could be the
// copy the linker keeps, and would then fail on a processor without it.
#define STARLING_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define STARLING_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx512bf16")))
