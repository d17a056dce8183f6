// A chunk of wkv6 in shared memory, as the chunked forward and the backward read it. With d_t the factors of the decay
// and S the state before the chunk, the tokens t, s = 0, ..., 15 act by
//
//   read_t = r_t d_0 ... d_{t-1},   written_s = k_s d_{s+1} ... d_15,   total = d_0 ... d_15,
//   A_ts = sum_i r_t d_{s+1} ... d_{t-1} k_s for s < t,   A_tt = sum_i r_t u k_t,   0 for s > t:
//   y_t = S read_t + sum_s A_ts v_s,   S <- S total + sum_s v_s written_s
//
// Only running products of factors occur, never quotients: exact for decays of any strength. A NaN or an infinity of a
// token may reach the outputs of the tokens before it in the chunk, as zero times it.
#pragma once
#include "core/cuda/warp_tile.cuh"
#include "wkv6/wkv6_task.cuh"

namespace wkv::cuda {

// Elements from a row in shared memory to the next, so that the rows that a product reads at once are in other banks.
template <class acc_t>
constexpr int wkv6_stride(int n) {
  return n + 32 / static_cast<int>(sizeof(acc_t));
}

// Keys up to kKeys, and tokens beyond the end of the sequence, are zeros with a factor of 1.
template <class io_t, int kKeys>
struct Wkv6Chunk {
  using acc_t = accumulate_t<io_t>;
  static constexpr int kStride = wkv6_stride<acc_t>(kKeys), kPairStride = kWkv6Chunk + 4;
  static constexpr int64_t kElements = 5 * kWkv6Chunk * kStride + 2 * kKeys + kWkv6Chunk * kPairStride;

  acc_t *r, *k, *d, *read, *written;  // [token][kStride]
  acc_t *total, *u;                   // [kKeys]
  acc_t* pairs;                       // A: [t][kPairStride]

  __device__ explicit Wkv6Chunk(acc_t* memory)
      : r(memory),
        k(r + kWkv6Chunk * kStride),
        d(k + kWkv6Chunk * kStride),
        read(d + kWkv6Chunk * kStride),
        written(read + kWkv6Chunk * kStride),
        total(written + kWkv6Chunk * kStride),
        u(total + kKeys),
        pairs(u + kKeys) {}

  __device__ void load_u(const Wkv6Inputs& in, int64_t head, bool with_u) const {
    for (int i = static_cast<int>(threadIdx.x); i < kKeys; i += static_cast<int>(blockDim.x)) {
      u[i] = with_u && i < in.key_size ? load_parameter<io_t>(in.u, in.float_u, head * in.key_size + i) : acc_t{0};
    }
  }
  // A thread walks a key's tokens, upwards for r or downwards for k.
  __device__ void load(const Wkv6Inputs& in, const Wkv6Rows<io_t>& x, int count) const {
    for (int task = static_cast<int>(threadIdx.x); task < 2 * kKeys; task += static_cast<int>(blockDim.x)) {
      const int i = task % kKeys;
      const bool upwards = task < kKeys;
      acc_t product = 1;
#pragma unroll
      for (int step = 0; step < kWkv6Chunk; ++step) {
        const int t = upwards ? step : kWkv6Chunk - 1 - step, at = t * kStride + i;
        const bool inside = t < count && i < in.key_size;
        const acc_t value = inside ? static_cast<acc_t>((upwards ? x.r : x.k)[t * x.key_stride + i]) : acc_t{0};
        const acc_t factor = inside ? load_decay<io_t>(x.decay, t * x.decay_stride + i).factor : acc_t{1};
        (upwards ? r : k)[at] = value;
        (upwards ? read : written)[at] = product * value;
        if (upwards) d[at] = factor;
        product *= factor;
      }
      if (upwards) total[i] = product;
    }
  }
  // A. Lanes that share a source s take vectors of its keys in turn, and walk the tokens with what the decays left of
  // them; the lanes of a warp are at the same token, so that what they read of it is read once.
  __device__ void multiply_pairs() const {
    using Vector = Wkv6Vector<acc_t>;
    constexpr int kSize = Vector::kSize, kLanes = kKeys % (8 * kSize) == 0 ? 8 : 4, kMine = kKeys / kLanes;
    for (int task = static_cast<int>(threadIdx.x); task < kLanes * kWkv6Chunk; task += static_cast<int>(blockDim.x)) {
      const int s = task / kLanes, first_of_warp = task / 32 * 32 / kLanes;
      const auto part = [&](const acc_t* row, int n) {
        return *reinterpret_cast<const Vector*>(row + n * kLanes + task % kLanes * kSize);
      };
      acc_t left[kMine], own = 0;
#pragma unroll
      for (int n = 0; n < kMine; n += kSize) {
        const Vector k_s = part(k + s * kStride, n), r_s = part(r + s * kStride, n), bonus = part(u, n);
#pragma unroll
        for (int i = 0; i < kSize; ++i) {
          left[n + i] = k_s.value[i];
          own += r_s.value[i] * bonus.value[i] * k_s.value[i];
        }
      }
      own = warp_sum<kLanes>(own);
#pragma unroll 2
      for (int t = 0; t < kWkv6Chunk; ++t) {
        acc_t sum = 0;
        if (t > first_of_warp) {
#pragma unroll
          for (int n = 0; n < kMine; n += kSize) {
            const Vector r_t = part(r + t * kStride, n), d_t = part(d + t * kStride, n);
#pragma unroll
            for (int i = 0; i < kSize; ++i) {
              sum += r_t.value[i] * left[n + i];
              if (t > s) left[n + i] *= d_t.value[i];
            }
          }
          sum = warp_sum<kLanes>(sum);
        }
        if (task % kLanes == 0) pairs[t * kPairStride + s] = t > s ? sum : t == s ? own : acc_t{0};
      }
    }
  }
};

// Rows of values, [count][existing], to shared memory [kWkv6Chunk][stride], with zeros up to `values`.
template <class io_t>
__device__ inline void wkv6_load_values(const io_t* from, int64_t from_stride, int count, int existing, int values,
                                        int stride, accumulate_t<io_t>* to) {
  for (int at = static_cast<int>(threadIdx.x); at < kWkv6Chunk * values; at += static_cast<int>(blockDim.x)) {
    const int t = at / values, j = at % values;
    const bool inside = t < count && j < existing;
    to[t * stride + j] = inside ? static_cast<accumulate_t<io_t>>(from[t * from_stride + j]) : accumulate_t<io_t>{0};
  }
}

}  // namespace wkv::cuda
