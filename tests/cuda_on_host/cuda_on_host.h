// Runs CUDA kernels on the CPU, so that their arithmetic, indexing and barriers are tested where there is no GPU.
//
// A kernel's source compiles twice: by nvcc for the GPU, and by g++ with this header. Here each CUDA thread is a fiber;
// the fibers of a block take turns on one thread of the CPU, in an order drawn from a seed, and change turns only at
// barriers, shuffles and waits. So
//   - a missing __syncthreads() makes the result depend on the seed;
//   - shared memory read before it was written is NaN, and so is what a copy_async was not waited for;
//   - threads of a block that wait at different barriers, or leave while others wait for their shuffle, are an error;
//   - what AddressSanitizer and UBSan see of the CPU, they see of the kernel.
// Not shown: speed, registers, races between blocks, misaligned vector loads.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

namespace cuda_on_host {

constexpr int kWarpSize = 32;

// The thread whose turn it is.
struct Place {
  dim3 thread, block, block_size, grid_size;
  int lane;
};
const Place& here();

// Runs `thread` once for each thread of each block of the grid, block after block. Throws std::runtime_error on a
// deadlock, and what a thread throws.
void run(dim3 grid, dim3 block, size_t shared_bytes, uint64_t seed, const std::function<void()>& thread);

void* dynamic_shared_memory();
void block_barrier();
void warp_barrier();
// Every lane of the warp gives `size` bytes (at most 64) and gets those of all 32 lanes, lane after lane 64 bytes
// apart. They stay there until the warp's next exchange.
const char* exchange(const void* mine, size_t size);
// A copy that takes place when it is waited for, as late as it may.
void copy_later(void* to, const void* from, size_t size);
void commit_copies();
void wait_for_copies(int groups_left);

template <class T>
T shuffle(T value, int from_lane) {
  T result;
  std::memcpy(&result, exchange(&value, sizeof(T)) + 64 * from_lane, sizeof(T));
  return result;
}

}  // namespace cuda_on_host

// How many kernels have run in this process: for tests that look this up in what is loaded.
extern "C" __attribute__((visibility("default"))) int64_t cuda_on_host_launches();

#define threadIdx (cuda_on_host::here().thread)
#define blockIdx (cuda_on_host::here().block)
#define blockDim (cuda_on_host::here().block_size)
#define gridDim (cuda_on_host::here().grid_size)

inline void __syncthreads() { cuda_on_host::block_barrier(); }
inline void __syncwarp(unsigned = ~0u) { cuda_on_host::warp_barrier(); }
template <class T>
T __shfl_sync(unsigned, T value, int lane, int width = 32) {
  return cuda_on_host::shuffle(value, cuda_on_host::here().lane / width * width + (lane & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
  return cuda_on_host::shuffle(value, cuda_on_host::here().lane ^ mask);
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta, int width = 32) {
  const int lane = cuda_on_host::here().lane, from = lane + static_cast<int>(delta);
  return cuda_on_host::shuffle(value, from / width == lane / width ? from : lane);
}
template <class T>
T __shfl_up_sync(unsigned, T value, unsigned delta, int width = 32) {
  const int lane = cuda_on_host::here().lane, from = lane - static_cast<int>(delta);
  return cuda_on_host::shuffle(value, from >= lane / width * width ? from : lane);
}
inline bool __any_sync(unsigned, bool predicate) {
  const char* const all = cuda_on_host::exchange(&predicate, 1);
  bool any = false;
  for (int lane = 0; lane < 32; ++lane) any = any || all[64 * lane];
  return any;
}
// Turns change at barriers only, and blocks run one after the other: nothing comes between.
template <class T>
T atomicAdd(T* address, T value) {
  return std::exchange(*address, *address + value);
}
template <class T>
T atomicMax(T* address, T value) {
  return std::exchange(*address, *address < value ? value : *address);
}
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
// Four bytes of the eight of a (low) and b; the nibbles of `selector` say which.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) result |= static_cast<unsigned>(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
  return result;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
