// What models do with rows of values between their products, on the GPU.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

inline constexpr float kLayerNormEps = 1e-5f;
inline constexpr int kMostMixes = 6;

template <class P>
__device__ inline float value_at(const void* values, int64_t i) {
  return static_cast<float>(static_cast<const P*>(values)[i]);
}
template <class P>
__device__ inline void store_at(void* values, int64_t i, float value) {
  static_cast<P*>(values)[i] = static_cast<P>(value);
}

__device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }
__device__ inline float squared_relu(float x) {
  const float rectified = x < 0 ? 0 : x;  // NaN stays
  return rectified * rectified;
}

// The sum over the block for all its threads, in a fixed order. partial: shared, a float for each warp, and another one
// for each call.
__device__ inline float block_sum(float value, float* partial) {
  const int lane = static_cast<int>(threadIdx.x % 32), warps = static_cast<int>(blockDim.x / 32);
  value = warp_sum(value);
  if (lane == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  return warp_sum(lane < warps ? partial[lane] : 0.0f);
}

// A row's values are normalised as (value - mean) * factor.
struct Normal {
  float mean, factor;
};
// Of a row [width] in shared memory, whose values i, i + blockDim.x, ... thread i of the block has written; for all its
// threads. partial: shared, kRowSums.
inline constexpr int kRowSums = 64;
__device__ inline Normal normal_of_row(const float* row, int64_t width, float eps, float* partial) {
  float sum = 0, squares = 0;
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) sum += row[i];
  const float mean = block_sum(sum, partial) / static_cast<float>(width);
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) squares += (row[i] - mean) * (row[i] - mean);
  const float variance = block_sum(squares, partial + kRowSums / 2) / static_cast<float>(width);
  return {mean, 1 / sqrtf(variance + eps)};
}
inline int64_t row_shared_bytes(int64_t width) { return (kRowSums + width) * static_cast<int64_t>(sizeof(float)); }

}  // namespace wkv::cuda
