// What all kernels share: macros for host and device, plain records, ordered maps of floats.
//
// Compiled three ways: by nvcc, by NVRTC (no system headers, so none are included), and by a plain
// C++17 compiler, which takes the CUDA built-ins from "cuda_host.h" and runs the kernels on a CPU.
//
// Nothing is contracted behind our back: nvcc gets -fmad=false, the host compiler
// -ffp-contract=off, and every fused multiply-add is spelled `__fmaf_rn`.
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)

#define TRISECT_DEVICE __device__ __forceinline__

// Declares `name` as a pointer to the dynamic shared memory of the block.
#define DYNAMIC_SHARED(type, name)           \
    extern __shared__ float4 shared_memory[]; \
    type* const name = reinterpret_cast<type*>(shared_memory)

// What is in memory now, though other blocks write it: the order is that of fences.
template <class T>
__device__ __forceinline__ T load_relaxed(const T* at) {
    return *static_cast<const volatile T*>(at);
}

template <class T>
__device__ __forceinline__ void store_relaxed(T* at, T value) {
    *static_cast<volatile T*>(at) = value;
}

// Adds to a sum, atomically. PERF: where it may lie in shared memory; 64 bits at once would be a loop
// there. Whoever makes the low word overflow adds the carry.
__device__ __forceinline__ void add_by_words(long long* sum, long long value) {
    unsigned* const words = reinterpret_cast<unsigned*>(sum);
    const unsigned low = static_cast<unsigned>(value);
    const unsigned before = atomicAdd(words, low);
    const unsigned carry = before + low < before ? 1 : 0;
    atomicAdd(words + 1, static_cast<unsigned>(value >> 32) + carry);
}

#else

#include "cuda_host.h"

#define TRISECT_DEVICE inline

TRISECT_DEVICE void add_by_words(long long* sum, long long value) {
    atomicAdd(sum, value);
}

#endif

constexpr unsigned WARP_LANES = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// Where the legs of one simulation lie: `longs` long legs from `first`, then `shorts` short legs.
struct Span {
    unsigned first;
    unsigned longs;
    unsigned shorts;
    unsigned simulation;
    // Not 0: some high of the simulation is 10 or more, so the upper clamp of the level matters.
    unsigned capped;
};

static_assert(sizeof(Span) == 20, "the host writes these bytes");

// Order-preserving map from float to int; -0 comes just before 0.
TRISECT_DEVICE int ordered(float x) {
    const int bits = __float_as_int(x);
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

TRISECT_DEVICE float unordered(int key) {
    return __int_as_float(key ^ ((key >> 31) & 0x7fffffff));
}

// The neighbours of a finite x among the floats. Both zeros have the same neighbours.
TRISECT_DEVICE float next_up(float x) {
    return x == 0.0f ? __int_as_float(1) : unordered(ordered(x) + 1);
}

TRISECT_DEVICE float next_down(float x) {
    return -next_up(-x);
}

// The least over the lanes of a warp.
TRISECT_DEVICE unsigned least_of_warp(unsigned x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return __reduce_min_sync(ALL_LANES, x);
#else
#pragma unroll
    for (unsigned width = WARP_LANES / 2; width > 0; width /= 2) {
        const unsigned other = __shfl_xor_sync(ALL_LANES, x, width);
        x = other < x ? other : x;
    }
    return x;
#endif
}

// The same of numbers that are not negative.
TRISECT_DEVICE double least_of_warp(double x) {
    const unsigned long long bits = static_cast<unsigned long long>(__double_as_longlong(x));
    const unsigned high = least_of_warp(static_cast<unsigned>(bits >> 32));
    const unsigned low = static_cast<unsigned>(bits);
    const unsigned least = least_of_warp(high == static_cast<unsigned>(bits >> 32) ? low : ALL_LANES);
    const unsigned long long found = static_cast<unsigned long long>(high) << 32 | least;
    return __longlong_as_double(static_cast<long long>(found));
}
