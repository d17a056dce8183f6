// One token of wkv6 on states in place. A warp has the keys along its lanes and takes four values at once: it reads and
// writes each row of the state [value, key] as it lies, once. Bound by the 2 N M elements of state.
#pragma once
#include "wkv6/wkv6_task.cuh"

namespace wkv::cuda {

inline constexpr int kWkv6DecodeWarps = 4, kWkv6DecodeValues = 4;  // of a block; of a warp

// A block for each row of the batch, head and 16 values. kKeys: a multiple of 32, no less than N.
template <class io_t, int kKeys>
__global__ void wkv6_decode_kernel(Wkv6Inputs in, int64_t value_parts, void* pool, int64_t pool_size,
                                   int64_t pool_stride, const int64_t* slots, io_t* y) {
  using acc_t = accumulate_t<io_t>;
  constexpr int kMine = kKeys / 32;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t row = blockIdx.x / value_parts, head = row % in.heads, slot = slots[row / in.heads];
  const int64_t first_value =
      (blockIdx.x % value_parts * kWkv6DecodeWarps + threadIdx.x / 32) * int64_t{kWkv6DecodeValues};
  // A slot on the device could not be refused.
  if (slot < 0 || slot >= pool_size) {
    for (int64_t j = first_value; j < first_value + kWkv6DecodeValues && j < in.value_size; ++j) {
      if (lane == 0) y[row * in.value_size + j] = static_cast<io_t>(NAN);
    }
    return;
  }
  auto* const state = static_cast<acc_t*>(pool) + slot * pool_stride + head * in.value_size * in.key_size;

  acc_t s[kWkv6DecodeValues][kMine], v[kWkv6DecodeValues];
#pragma unroll
  for (int n = 0; n < kWkv6DecodeValues; ++n) {
    const int64_t j = first_value + n;
    v[n] = j < in.value_size ? static_cast<acc_t>(static_cast<const io_t*>(in.v)[row * in.value_size + j]) : acc_t{0};
#pragma unroll
    for (int m = 0; m < kMine; ++m) {
      const int i = lane + 32 * m;
      s[n][m] = j < in.value_size && i < in.key_size ? state[j * in.key_size + i] : acc_t{0};
    }
  }
  acc_t r[kMine], k[kMine], d[kMine], bonus = 0;
#pragma unroll
  for (int m = 0; m < kMine; ++m) {
    const int i = lane + 32 * m;
    const bool inside = i < in.key_size;
    r[m] = inside ? static_cast<acc_t>(static_cast<const io_t*>(in.r)[row * in.key_size + i]) : acc_t{0};
    k[m] = inside ? static_cast<acc_t>(static_cast<const io_t*>(in.k)[row * in.key_size + i]) : acc_t{0};
    d[m] = inside ? load_decay<io_t>(in.decay, (in.constant_decay ? head : row) * in.key_size + i).factor : acc_t{1};
    if (inside) bonus += r[m] * load_parameter<io_t>(in.u, in.float_u, head * in.key_size + i) * k[m];
  }
  bonus = warp_sum(bonus);

#pragma unroll
  for (int n = 0; n < kWkv6DecodeValues; ++n) {
    const int64_t j = first_value + n;
    acc_t sum = 0;
#pragma unroll
    for (int m = 0; m < kMine; ++m) {
      const int i = lane + 32 * m;
      sum += r[m] * s[n][m];
      if (j < in.value_size && i < in.key_size) state[j * in.key_size + i] = d[m] * s[n][m] + k[m] * v[n];
    }
    sum = warp_sum(sum);
    if (lane == 0 && j < in.value_size) y[row * in.value_size + j] = static_cast<io_t>(sum + bonus * v[n]);
  }
}

}  // namespace wkv::cuda
