// Sums of what blocks found separately, in a fixed order.
#pragma once
#include "core/cuda/platform.cuh"
//
#include "core/cuda/decay.cuh"

namespace wkv::cuda {

// to[i] = sum_p parts[p][i] for i < n; `to` is of the io dtype or fp32.
template <class io_t>
__global__ void wkv6_sum_kernel(const accumulate_t<io_t>* parts, int64_t count, int64_t n, void* to, bool float_to) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) {
    double sum = 0;
    for (int64_t p = 0; p < count; ++p) sum += parts[p * n + i];
    store_parameter<io_t>(to, float_to, i, static_cast<accumulate_t<io_t>>(sum));
  }
}

}  // namespace wkv::cuda
