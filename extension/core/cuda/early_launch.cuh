// Kernels that begin before their predecessor has ended (programmatic dependent launch, since sm_90), so that a chain
// of short kernels keeps the memory busy across its joints. Launched by Device::launch_early, such a kernel may read
// constants at once, but touches nothing that a kernel writes before all its threads have waited. Without such a launch
// both functions do nothing.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

// Until all kernels that were launched before this one have ended, and what they wrote can be read.
__device__ inline void wait_for_previous_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next kernel may begin when all blocks of this one have come here or have ended.
__device__ inline void let_next_kernel_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// The line of a constant to the L2 cache.
__device__ inline void prefetch(const void* constant) {
#ifdef __CUDACC__
  asm volatile("prefetch.global.L2 [%0];" ::"l"(constant));
#else
  static_cast<void>(constant);
#endif
}

// 16 aligned bytes of what is constant and read once: they take no room in the L1 cache.
__device__ inline uint4 load_once(const uint4* constant) {
#ifdef __CUDACC__
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(constant));
  return value;
#else
  return *constant;
#endif
}

}  // namespace wkv::cuda
