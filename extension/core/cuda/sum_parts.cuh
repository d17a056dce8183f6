// The gradient of a parameter of each channel: the sum over the parts that blocks left of it, in a fixed order.
#pragma once
#include "core/cuda/decay.cuh"
#include "core/cuda/launch.h"

namespace wkv::cuda {

inline constexpr int kSumPartsThreads = 256;

// parts: [count, channels]. gradient: [channels] of io_t, or fp32. A block: 32 channels, a warp every eighth part;
// shared memory for a sum of each thread.
template <class io_t>
__global__ void __launch_bounds__(kSumPartsThreads)
    sum_parts_kernel(const accumulate_t<io_t>* parts, int64_t count, int64_t channels, bool is_float, void* gradient) {
  using acc_t = accumulate_t<io_t>;
  constexpr int kWarps = kSumPartsThreads / 32;
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int64_t channel = int64_t{blockIdx.x} * 32 + lane;
  auto* const sums = reinterpret_cast<acc_t*>(shared_memory());
  acc_t sum = 0;
  for (int64_t part = warp; part < count && channel < channels; part += kWarps) sum += parts[part * channels + channel];
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0 || channel >= channels) return;
  for (int other = 1; other < kWarps; ++other) sum += sums[other * 32 + lane];
  store_parameter<io_t>(gradient, is_float, channel, sum);
}

template <class io_t>
void sum_parts(const Device& device, const accumulate_t<io_t>* parts, int64_t count, const Tensor& gradient) {
  const int64_t channels = gradient.size(0);
  device.launch(sum_parts_kernel<io_t>, (channels + 31) / 32, kSumPartsThreads,
                kSumPartsThreads * sizeof(accumulate_t<io_t>), parts, count, channels,
                gradient.scalar_type() == ScalarType::Float, data<void>(gradient));
}

}  // namespace wkv::cuda
