// The normalised x of a decoding step, mixed with what the sequence's last token had there; a block for each row.
#pragma once
#include "core/cuda/platform.cuh"
//
#include "core/cuda/early_launch.cuh"
#include "decode_step/rows.cuh"

namespace wkv::cuda {

inline constexpr int kShiftThreads = 1024;

// Of each row the slot of a pool of states; a row whose slot is none of the pool's has a state of zeros and leaves
// none.
struct Slots {
  const int64_t* of_row;
  int64_t count;

  __device__ bool has(int64_t row) const { return of_row[row] >= 0 && of_row[row] < count; }
};

struct ShiftAndMix {
  const float* x;  // [rows, width]
  int64_t width;
  Slots slots;
  const void *weight, *bias;  // of the norm
  void* shifts;
  int64_t stride;  // between the shifts of slots
  bool of_token;   // mixes are those of the token itself, else of its predecessor
  int count;       // of mixes
  const void* mixes[kMostMixes];
  float* mixed[kMostMixes];  // [rows, width]
};

template <class P>
__global__ void __launch_bounds__(kShiftThreads) shift_and_mix_kernel(const __grid_constant__ ShiftAndMix s) {
  let_next_kernel_begin();
  for (int64_t i = threadIdx.x; i < s.width; i += blockDim.x) {
    prefetch(static_cast<const P*>(s.weight) + i);
    prefetch(static_cast<const P*>(s.bias) + i);
    for (int m = 0; m < s.count; ++m) prefetch(static_cast<const P*>(s.mixes[m]) + i);
  }
  wait_for_previous_kernel();

  auto* const partial = reinterpret_cast<float*>(shared_memory());  // [kRowSums]
  float* const values = partial + kRowSums;                         // [width]
  const int64_t row = blockIdx.x;
  for (int64_t i = threadIdx.x; i < s.width; i += blockDim.x) values[i] = s.x[row * s.width + i];
  const Normal normal = normal_of_row(values, s.width, kLayerNormEps, partial);
  const bool has_slot = s.slots.has(row);
  P* const shift = static_cast<P*>(s.shifts) + (has_slot ? s.slots.of_row[row] * s.stride : 0);
  for (int64_t i = threadIdx.x; i < s.width; i += blockDim.x) {
    const float now = (values[i] - normal.mean) * normal.factor * value_at<P>(s.weight, i) + value_at<P>(s.bias, i),
                before = has_slot ? static_cast<float>(shift[i]) : 0.0f, one = s.of_token ? before : now,
                other = s.of_token ? now : before;
    for (int m = 0; m < s.count; ++m) {
      s.mixed[m][row * s.width + i] = __fmaf_rn(other - one, value_at<P>(s.mixes[m], i), one);
    }
    if (has_slot) shift[i] = static_cast<P>(now);
  }
}

}  // namespace wkv::cuda
