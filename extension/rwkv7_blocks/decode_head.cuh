// A head's part in a decoding step of RWKV-7, for one row: the second halves of the products of low rank, the
// recurrence
//   sa_i = sum_j a_j S_ij,  S_ij <- w_j S_ij + v_i k_j + sa_i b_j,  y_i = sum_j r_j S_ij
// on its state S [value, key] in place, and what is ahead of it and behind it. A block for each head and row; a warp
// takes whole rows of the state, and every warp has the inputs of the recurrence in its registers.
#pragma once
#include "core/cuda/platform.cuh"
//
#include "core/cuda/early_launch.cuh"
#include "decode_step/shift_and_mix.cuh"
#include "rwkv7_blocks/head.cuh"

namespace wkv::cuda {

inline constexpr int kHeadThreads = 512, kHeadWarps = kHeadThreads / 32;
enum LowRank { kDecay, kRate, kGate, kResidual, kLowRanks };

struct Rwkv7DecodeHead {
  int64_t heads, head_size;
  float eps;
  Rwkv7HeadParameters parameters;
  const void* up[kLowRanks];       // [rank, C]
  int64_t rank[kLowRanks];         // 0: there is none
  const float* hidden[kLowRanks];  // [rows, rank]
  const float *receptance, *key, *value;
  float* first_value;  // of the first block, where it is written
  bool first;
  Slots slots;
  float* states;
  int64_t stride;  // between the states of slots
  float* gated;
};

template <class P, int kSize>
__global__ void __launch_bounds__(kHeadThreads, kSize == 64 ? 2 : 1)
    rwkv7_decode_head_kernel(const __grid_constant__ Rwkv7DecodeHead s) {
  let_next_kernel_begin();
  constexpr int kParts = kHeadParts<kSize>;
  const int size = kSize ? kSize : static_cast<int>(s.head_size), thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32, lane = thread % 32;
  const int64_t width = s.heads * size, head = blockIdx.x % s.heads, row = blockIdx.x / s.heads, begin = head * size;
  for (int i = 0; i < kLowRanks; ++i) {
    const P* const up = static_cast<const P*>(s.up[i]) + begin;
    for (int64_t k = warp; k < s.rank[i]; k += kHeadWarps) {
      for_channels<kSize>(size, [&](int, int channel) { prefetch(up + k * width + channel); });
    }
  }
  wait_for_previous_kernel();

  // The products of low rank: a warp has the rows k = warp, warp + kHeadWarps, ... of the matrices.
  auto* const partial = reinterpret_cast<float*>(shared_memory());  // [warps][low ranks][size]
  float* const total = partial + kHeadWarps * kLowRanks * size;     // [low ranks][size]
  float *const values = total + kLowRanks * size, *const outputs = values + size;
  for (int i = 0; i < kLowRanks; ++i) {
    float sums[kParts] = {};
    const P* const up = static_cast<const P*>(s.up[i]) + begin;
    const float* const hidden = s.hidden[i] + row * s.rank[i];
#pragma unroll 8
    for (int64_t k = warp; k < s.rank[i]; k += kHeadWarps) {
      const float x = hidden[k];
      for_channels<kSize>(
          size, [&](int p, int n) { sums[p] = __fmaf_rn(static_cast<float>(up[k * width + n]), x, sums[p]); });
    }
    for_channels<kSize>(size, [&](int p, int n) { partial[(warp * kLowRanks + i) * size + n] = sums[p]; });
  }
  __syncthreads();
  for (int i = thread; i < kLowRanks * size; i += kHeadThreads) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kHeadWarps; ++w) sum += partial[w * kLowRanks * size + i];
    total[i] = sum;
  }
  __syncthreads();

  const int64_t at = row * width + begin;
  float low_rank[kLowRanks][kParts] = {}, r[kParts] = {}, first_value[kParts] = {};
  Rwkv7HeadInputs<kParts> x = {};
  for_channels<kSize>(size, [&](int p, int n) {
    for (int i = 0; i < kLowRanks; ++i) low_rank[i][p] = total[i * size + n];
    r[p] = s.receptance[at + n];
    x.k[p] = s.key[at + n];
    x.v[p] = s.value[at + n];
    first_value[p] = s.first ? x.v[p] : s.first_value[at + n];
    if (s.first && warp == 0) s.first_value[at + n] = x.v[p];
  });
  prepare_head<P, kSize>(s.parameters, begin, size, low_rank[kDecay], low_rank[kRate], low_rank[kResidual], first_value,
                         x);
  for_channels<kSize>(size, [&](int p, int n) {
    x.w[p] = expf(x.w[p]);
    if (warp == 0) values[n] = x.v[p];
  });
  __syncthreads();

  const bool has_slot = s.slots.has(row);
  float* const state = s.states + (has_slot ? s.slots.of_row[row] * s.stride : 0) + head * size * size;
  constexpr int kRowsAtOnce = kSize ? 4 : 1;
  for (int first = warp; first < size; first += kRowsAtOnce * kHeadWarps) {
    float cells[kRowsAtOnce][kParts] = {};
#pragma unroll
    for (int i = 0; i < kRowsAtOnce; ++i) {
      const int value = first + i * kHeadWarps;
      if (!has_slot || value >= size) continue;
      for_channels<kSize>(size, [&](int p, int n) { cells[i][p] = state[value * size + n]; });
    }
#pragma unroll
    for (int i = 0; i < kRowsAtOnce; ++i) {
      const int value = first + i * kHeadWarps;
      if (value >= size) continue;
      float removed = 0, y = 0;
      for_channels<kSize>(size, [&](int p, int) { removed = __fmaf_rn(x.a[p], cells[i][p], removed); });
      removed = warp_sum(removed);
      const float v = values[value];
      for_channels<kSize>(size, [&](int p, int n) {
        const float cell = __fmaf_rn(x.w[p], cells[i][p], __fmaf_rn(x.b[p], removed, x.k[p] * v));
        y = __fmaf_rn(r[p], cell, y);
        if (has_slot) state[value * size + n] = cell;
      });
      y = warp_sum(y);
      if (lane == 0) outputs[value] = y;
    }
  }
  __syncthreads();
  if (warp > 0) return;
  float y[kParts] = {};
  for_channels<kSize>(size, [&](int p, int n) { y[p] = outputs[n]; });
  finish_head<P, kSize>(s.parameters, begin, size, s.eps, r, x.k, x.v, low_rank[kGate], y);
  for_channels<kSize>(size, [&](int p, int n) { s.gated[at + n] = y[p]; });
}

inline int64_t rwkv7_decode_head_shared_bytes(int64_t head_size) {
  return (kHeadWarps * kLowRanks + kLowRanks + 2) * head_size * static_cast<int64_t>(sizeof(float));
}

}  // namespace wkv::cuda
