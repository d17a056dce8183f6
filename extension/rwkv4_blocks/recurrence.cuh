// wkv4's step in a decoding step of RWKV-4, for all channels of all rows, and its gate; a thread for each of them. The
// state [3, C] of a slot is the numerator and the denominator of the average, scaled by exp(-exponent), and the
// exponent.
#pragma once
#include "core/cuda/platform.cuh"
//
#include "core/cuda/early_launch.cuh"
#include "decode_step/shift_and_mix.cuh"

namespace wkv::cuda {

inline constexpr int kRecurrenceThreads = 128;

struct Rwkv4Recurrence {
  int64_t rows, width;
  const float *key, *value, *receptance;  // [rows, width]
  const void *decay, *first;              // [width]
  Slots slots;
  float* states;
  int64_t stride;  // between the states of slots
  float* gated;    // [rows, width]
};

template <class P>
__global__ void __launch_bounds__(kRecurrenceThreads)
    rwkv4_recurrence_kernel(const __grid_constant__ Rwkv4Recurrence s) {
  let_next_kernel_begin();
  const int64_t at = int64_t{blockIdx.x} * kRecurrenceThreads + threadIdx.x, row = at / s.width, i = at % s.width;
  if (row >= s.rows) return;
  const float first = value_at<P>(s.first, i), decay = expf(value_at<P>(s.decay, i));
  wait_for_previous_kernel();

  const bool has_slot = s.slots.has(row);
  float* const state = s.states + (has_slot ? s.slots.of_row[row] * s.stride : 0) + i;
  const float numerator = has_slot ? state[0] : 0, denominator = has_slot ? state[s.width] : 0,
              before = has_slot ? state[2 * s.width] : -1e38f;
  const float k = s.key[at], v = s.value[at], now = k + first, most = before > now ? before : now;
  const float old_part = expf(before - most), new_part = expf(now - most);
  const float average = __fmaf_rn(old_part, numerator, new_part * v) / __fmaf_rn(old_part, denominator, new_part);
  s.gated[at] = sigmoid(s.receptance[at]) * average;

  if (!has_slot) return;
  const float decayed = before - decay, next = decayed > k ? decayed : k;
  const float kept = expf(decayed - next), added = expf(k - next);
  state[0] = __fmaf_rn(kept, numerator, added * v);
  state[s.width] = __fmaf_rn(kept, denominator, added);
  state[2 * s.width] = next;
}

}  // namespace wkv::cuda
