// What a kernel's source needs of CUDA. nvcc compiles it for the GPU; g++ compiles the same source for tests on the CPU
// (tests/cuda_on_host). To be the first include of every *_kernels.cuh.
#pragma once
#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "cuda_on_host.h"
#endif

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cstdint>
#include <type_traits>

namespace wkv::cuda {

using BFloat16 = torch::headeronly::BFloat16;
using Half = torch::headeronly::Half;

// Sums of fp32, bf16 and fp16 values are fp32, those of fp64 values fp64.
template <class io_t>
using accumulate_t = std::conditional_t<std::is_same_v<io_t, double>, double, float>;

// The block's dynamic shared memory, aligned to 128 bytes. There is no other: what is read before it was written shows
// on the host.
__device__ inline char* shared_memory() {
#ifdef __CUDACC__
  extern __shared__ __align__(128) char memory[];
  return memory;
#else
  return static_cast<char*>(cuda_on_host::dynamic_shared_memory());
#endif
}

// Asynchronous copies of 16 aligned bytes from global to shared memory, in groups: `wait_for_copies<n>` waits for all
// but the last n groups of this thread; for those of the others, a barrier as well.
__device__ inline void copy_async_16(void* shared, const void* global) {
#ifdef __CUDACC__
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
#else
  cuda_on_host::copy_later(shared, global, 16);
#endif
}
__device__ inline void commit_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  cuda_on_host::commit_copies();
#endif
}
template <int groups_left>
__device__ inline void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
#else
  cuda_on_host::wait_for_copies(groups_left);
#endif
}

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }
__device__ inline float square_root(float x) { return sqrtf(x); }
__device__ inline double square_root(double x) { return sqrt(x); }

// The sum over the lanes of the warp, in a fixed order, for all lanes.
template <int width = 32, class T>
__device__ inline T warp_sum(T value) {
  for (int lanes = width / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(~0u, value, lanes);
  return value;
}
template <int width = 32, class T>
__device__ inline T warp_max(T value) {
  for (int lanes = width / 2; lanes > 0; lanes /= 2) {
    const T other = __shfl_xor_sync(~0u, value, lanes);
    value = other > value ? other : value;
  }
  return value;
}

}  // namespace wkv::cuda
