// Gradients of a head's parameters, which the warps of a block have summed over their tokens: the block's sums.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

// The shared memory that store_head_sums needs.
template <class acc_t>
constexpr int64_t head_sums_bytes(int warps, int parameters, int values) {
  return int64_t{warps} * parameters * values * 32 * static_cast<int64_t>(sizeof(acc_t));
}

// mine[p][j]: this lane's sum for parameter p of the head's value 32 j + lane. Goes to sums[p * stride + value], for
// values below `size`. To be called by all threads of the block.
template <class acc_t, int kParameters, int kValues>
__device__ inline void store_head_sums(const acc_t (&mine)[kParameters][kValues], int64_t size, acc_t* sums,
                                       int64_t stride) {
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32),
            warps = static_cast<int>(blockDim.x / 32);
  auto* const of_warps = reinterpret_cast<acc_t*>(shared_memory());  // [warps][kParameters][32 kValues]
#pragma unroll
  for (int p = 0; p < kParameters; ++p) {
#pragma unroll
    for (int j = 0; j < kValues; ++j) of_warps[((warp * kParameters + p) * kValues + j) * 32 + lane] = mine[p][j];
  }
  __syncthreads();
  for (int64_t i = threadIdx.x; i < kParameters * size; i += blockDim.x) {
    const int64_t p = i / size, value = i % size;
    acc_t sum = 0;
    for (int w = 0; w < warps; ++w) sum += of_warps[(w * kParameters + p) * kValues * 32 + value];
    sums[p * stride + value] = sum;
  }
}

}  // namespace wkv::cuda
