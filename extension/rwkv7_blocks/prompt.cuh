// The parts of an RWKV-7 block for many tokens on the GPU, each of which reads and writes its values once: see
// wkv/rwkv7_blocks.h. Values go to and from memory in the parameters' type P, x in fp32.
#pragma once
#include "core/cuda/platform.cuh"
//
#include "decode_step/rows.cuh"
#include "rwkv7_blocks/head.cuh"

namespace wkv::cuda {

inline constexpr int kPromptThreads = 256, kPromptWarps = kPromptThreads / 32;

// A block for each token: x += added + bias, and how the row is normalised.
template <class P>
__global__ void __launch_bounds__(kPromptThreads)
    rwkv7_add_kernel(int64_t width, float* x, const P* added, const P* bias, float eps, Normal* normals) {
  auto* const partial = reinterpret_cast<float*>(shared_memory());  // [kRowSums]
  float* const values = partial + kRowSums;                         // [width]
  const int64_t token = blockIdx.x;
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) {
    float value = x[token * width + i];
    if (added) value += static_cast<float>(added[token * width + i]);
    if (bias) value += static_cast<float>(bias[i]);
    if (added) x[token * width + i] = value;
    values[i] = value;
  }
  const Normal normal = normal_of_row(values, width, eps, partial);
  if (threadIdx.x == 0) normals[token] = normal;
}

struct Rwkv7Mixing {
  int64_t length, width;
  const float* x;
  const Normal* normals;
  const void *norm_weight, *norm_bias, *before;
  void* after;
  int count;
  const void* mixes[kMostMixes];
  void* mixed[kMostMixes];
};

// A thread has a channel for a run of tokens of a sequence: blocks are (sequence, run, channels).
inline constexpr int64_t kMixRun = 16;
template <class P>
__global__ void __launch_bounds__(kPromptThreads) rwkv7_mix_kernel(const __grid_constant__ Rwkv7Mixing s) {
  const int64_t runs = (s.length + kMixRun - 1) / kMixRun, parts = (s.width + kPromptThreads - 1) / kPromptThreads;
  const int64_t channel = blockIdx.x % parts * kPromptThreads + threadIdx.x, run = blockIdx.x / parts % runs,
                sequence = blockIdx.x / parts / runs;
  if (channel >= s.width) return;
  const float weight = value_at<P>(s.norm_weight, channel), bias = value_at<P>(s.norm_bias, channel);
  const auto normalised = [&](int64_t t) {
    const int64_t token = sequence * s.length + t;
    const Normal normal = s.normals[token];
    return __fmaf_rn((s.x[token * s.width + channel] - normal.mean) * normal.factor, weight, bias);
  };
  float mixes[kMostMixes] = {};
#pragma unroll
  for (int m = 0; m < kMostMixes; ++m) {
    if (m < s.count) mixes[m] = value_at<P>(s.mixes[m], channel);
  }
  const int64_t first = run * kMixRun, last = first + kMixRun < s.length ? first + kMixRun : s.length;
  float before = first > 0 ? normalised(first - 1) : value_at<P>(s.before, sequence * s.width + channel);
  for (int64_t t = first; t < last; ++t) {
    const float now = normalised(t);
    const int64_t at = (sequence * s.length + t) * s.width + channel;
#pragma unroll
    for (int m = 0; m < kMostMixes; ++m) {
      if (m < s.count) store_at<P>(s.mixed[m], at, __fmaf_rn(before - now, mixes[m], now));
    }
    before = now;
  }
  if (last == s.length) store_at<P>(s.after, sequence * s.width + channel, before);
}

struct Rwkv7Preparing {
  int64_t tokens, heads;
  int head_size;
  Rwkv7HeadParameters parameters;
  const void *decay, *rate, *residual, *first_value;
  float* w;
  void *k, *v, *a, *b;
};

// A warp for each token and head.
template <class P, int kSize>
__global__ void __launch_bounds__(kPromptThreads) rwkv7_prepare_kernel(const __grid_constant__ Rwkv7Preparing s) {
  constexpr int kParts = kHeadParts<kSize>;
  const int64_t task = int64_t{blockIdx.x} * kPromptWarps + threadIdx.x / 32;
  if (task >= s.tokens * s.heads) return;
  const int size = kSize ? kSize : s.head_size;
  const int64_t at = task * size;
  float decay[kParts] = {}, rate[kParts] = {}, residual[kParts] = {}, first_value[kParts] = {};
  Rwkv7HeadInputs<kParts> x = {};
  for_channels<kSize>(size, [&](int p, int n) {
    x.k[p] = value_at<P>(s.k, at + n);
    decay[p] = value_at<P>(s.decay, at + n);
    rate[p] = value_at<P>(s.rate, at + n);
    if (!s.residual) return;
    x.v[p] = value_at<P>(s.v, at + n);
    residual[p] = value_at<P>(s.residual, at + n);
    first_value[p] = value_at<P>(s.first_value, at + n);
  });
  prepare_head<P, kSize>(s.parameters, task % s.heads * size, size, decay, rate, residual, first_value, x);
  for_channels<kSize>(size, [&](int p, int n) {
    s.w[at + n] = x.w[p];
    store_at<P>(s.k, at + n, x.k[p]);
    store_at<P>(s.a, at + n, x.a[p]);
    store_at<P>(s.b, at + n, x.b[p]);
    if (s.residual) store_at<P>(s.v, at + n, x.v[p]);
  });
}

struct Rwkv7Finishing {
  int64_t tokens, heads;
  int head_size;
  float eps;
  Rwkv7HeadParameters parameters;
  const void *y, *r, *k, *v, *gate;
  void* gated;
};

// A warp for each token and head.
template <class P, int kSize>
__global__ void __launch_bounds__(kPromptThreads) rwkv7_finish_kernel(const __grid_constant__ Rwkv7Finishing s) {
  constexpr int kParts = kHeadParts<kSize>;
  const int64_t task = int64_t{blockIdx.x} * kPromptWarps + threadIdx.x / 32;
  if (task >= s.tokens * s.heads) return;
  const int size = kSize ? kSize : s.head_size;
  const int64_t at = task * size;
  float r[kParts] = {}, k[kParts] = {}, v[kParts] = {}, gate[kParts] = {}, y[kParts] = {};
  for_channels<kSize>(size, [&](int p, int n) {
    r[p] = value_at<P>(s.r, at + n);
    k[p] = value_at<P>(s.k, at + n);
    v[p] = value_at<P>(s.v, at + n);
    gate[p] = value_at<P>(s.gate, at + n);
    y[p] = value_at<P>(s.y, at + n);
  });
  finish_head<P, kSize>(s.parameters, task % s.heads * size, size, s.eps, r, k, v, gate, y);
  for_channels<kSize>(size, [&](int p, int n) { store_at<P>(s.gated, at + n, y[p]); });
}

template <class P>
__global__ void __launch_bounds__(kPromptThreads) rwkv7_square_relu_kernel(P* x, int64_t count) {
  const int64_t i = int64_t{blockIdx.x} * kPromptThreads + threadIdx.x;
  if (i < count) x[i] = static_cast<P>(squared_relu(static_cast<float>(x[i])));
}

}  // namespace wkv::cuda
