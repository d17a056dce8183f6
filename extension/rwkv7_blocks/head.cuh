// RWKV-7 around its recurrence, on the GPU: a head's row in the registers of a warp, lane l the channels l, l + 32, ...
#pragma once
#include "core/cuda/platform.cuh"
//
#include "decode_step/rows.cuh"

namespace wkv::cuda {

// A warp's share of head sizes: kSize at compile time, or 0: any multiple of 32 up to 256.
template <int kSize>
inline constexpr int kHeadParts = kSize ? kSize / 32 : 8;

// function(part, channel) for the channels of this lane.
template <int kSize, class Function>
__device__ inline void for_channels(int size, const Function& function) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int p = 0; p < kHeadParts<kSize>; ++p) {
    if (kSize || 32 * p < size) function(p, 32 * p + lane);
  }
}

// Of type P, [C].
struct Rwkv7HeadParameters {
  const void *w0, *a0, *v0, *k_k, *k_a;  // v0 null: in the first block
  const void *ln_x_weight, *ln_x_bias, *r_k;
};

// What the recurrence is given.
template <int kParts>
struct Rwkv7HeadInputs {
  float w[kParts], k[kParts], v[kParts], a[kParts], b[kParts];  // w: the log decay
};

// k and v become what they are to be, by the products of low rank. begin: the head's first channel.
template <class P, int kSize, int kParts = kHeadParts<kSize>>
__device__ inline void prepare_head(const Rwkv7HeadParameters& p, int64_t begin, int size, const float (&decay)[kParts],
                                    const float (&rate)[kParts], const float (&residual)[kParts],
                                    const float (&first_value)[kParts], Rwkv7HeadInputs<kParts>& x) {
  constexpr float kLogDecay = -0.60653066f;  // -e^(-1/2)
  float squares = 0, removal[kParts];
  for_channels<kSize>(size, [&](int i, int channel) {
    removal[i] = x.k[i] * value_at<P>(p.k_k, begin + channel);
    squares = __fmaf_rn(removal[i], removal[i], squares);
  });
  const float length = sqrtf(warp_sum(squares)), unit = 1 / (length < 1e-12f ? 1e-12f : length);
  for_channels<kSize>(size, [&](int i, int channel) {
    const float in_context_rate = sigmoid(rate[i] + value_at<P>(p.a0, begin + channel));
    x.w[i] = kLogDecay * sigmoid(decay[i] + value_at<P>(p.w0, begin + channel));
    x.k[i] *= __fmaf_rn(in_context_rate - 1, value_at<P>(p.k_a, begin + channel), 1.0f);
    x.a[i] = -removal[i] * unit;
    x.b[i] = removal[i] * unit * in_context_rate;
    if (p.v0) {
      const float share = sigmoid(residual[i] + value_at<P>(p.v0, begin + channel));
      x.v[i] = __fmaf_rn(first_value[i] - x.v[i], share, x.v[i]);
    }
  });
}

// y becomes (y normalised + (r . k r_k) v) * gate.
template <class P, int kSize, int kParts = kHeadParts<kSize>>
__device__ inline void finish_head(const Rwkv7HeadParameters& p, int64_t begin, int size, float eps,
                                   const float (&r)[kParts], const float (&k)[kParts], const float (&v)[kParts],
                                   const float (&gate)[kParts], float (&y)[kParts]) {
  float bonus = 0, sum = 0, squares = 0;
  for_channels<kSize>(size, [&](int i, int channel) {
    bonus = __fmaf_rn(r[i] * k[i], value_at<P>(p.r_k, begin + channel), bonus);
    sum += y[i];
  });
  bonus = warp_sum(bonus);
  const float mean = warp_sum(sum) / static_cast<float>(size);
  for_channels<kSize>(size, [&](int i, int) { squares = __fmaf_rn(y[i] - mean, y[i] - mean, squares); });
  const float factor = 1 / sqrtf(warp_sum(squares) / static_cast<float>(size) + eps);
  for_channels<kSize>(size, [&](int i, int channel) {
    const float normal = __fmaf_rn((y[i] - mean) * factor, value_at<P>(p.ln_x_weight, begin + channel),
                                   value_at<P>(p.ln_x_bias, begin + channel));
    y[i] = __fmaf_rn(bonus, v[i], normal) * gate[i];
  });
}

}  // namespace wkv::cuda
