// The parts of an RWKV-7 block for many tokens. To be included by rwkv7_blocks_isa.cpp only.
#pragma once
#include "rwkv7_blocks/rows_isa.h"

namespace wkv::WKV_ISA {

template <class P>
const P* parameter(const void* p, int64_t offset = 0) {
  return static_cast<const P*>(p) + offset;
}

template <class P>
void mix_tokens(const rwkv7::Mix& in, int64_t sequence, int64_t first, int64_t last, float* scratch) {
  const int64_t C = in.width;
  const P *const weight = parameter<P>(in.norm_weight), *const bias = parameter<P>(in.norm_bias);
  float *before = scratch, *now = scratch + C;
  if (first == 0) {
    load_row(parameter<P>(in.before, sequence * C), C, before);
  } else {
    normalise(in.x + (sequence * in.length + first - 1) * C, weight, bias, C, kLayerNormEps, before);
  }
  for (int64_t t = first; t < last; ++t) {
    const int64_t at = (sequence * in.length + t) * C;
    normalise(in.x + at, weight, bias, C, kLayerNormEps, now);
    for_vectors(C, [&](int64_t i) {
      const Vec<float> x = load(now + i), difference = load(before + i) - x;
      for (int m = 0; m < in.count; ++m) {
        store_as(static_cast<P*>(in.mixed[m]) + at + i, fma(difference, load_as(parameter<P>(in.mixes[m], i)), x));
      }
    });
    float* const done = before;
    before = now;
    now = done;
  }
  if (last == in.length) store_row(before, C, static_cast<P*>(in.after) + sequence * C);
}

template <class P>
void add_tokens(const rwkv7::Mix& in, int64_t first, int64_t last) {
  const int64_t C = in.width;
  for (int64_t t = first; t < last; ++t) {
    float* const x = in.x + t * C;
    for_vectors(C, [&](int64_t i) {
      Vec<float> sum = load(x + i) + load_as(parameter<P>(in.added, t * C + i));
      if (in.added_bias) sum += load_as(parameter<P>(in.added_bias, i));
      store(x + i, sum);
    });
  }
}

template <class P>
void prepare_tokens(const rwkv7::Prepare& in, int64_t first, int64_t last) {
  const int64_t N = in.head_size, C = in.heads * N;
  for (int64_t t = first; t < last; ++t) {
    for (int64_t begin = 0; begin < C; begin += N) {
      const int64_t at = t * C + begin;
      const auto of = [&](const void* tensor) { return parameter<P>(tensor, at); };
      const auto to = [&](void* tensor) { return static_cast<P*>(tensor) + at; };
      const Rwkv7HeadParameters<P> parameters{parameter<P>(in.w0, begin), parameter<P>(in.a0, begin),
                                              in.residual ? parameter<P>(in.v0, begin) : nullptr,
                                              parameter<P>(in.k_k, begin), parameter<P>(in.k_a, begin)};
      prepare_head<P, P>(parameters, of(in.decay), of(in.rate), in.residual ? of(in.residual) : nullptr,
                         in.residual ? of(in.first_value) : nullptr, N, in.w + at, to(in.k), to(in.v), to(in.a),
                         to(in.b));
    }
  }
}

template <class P>
void finish_tokens(const rwkv7::Finish& in, int64_t first, int64_t last) {
  const int64_t N = in.head_size, C = in.heads * N;
  alignas(64) float y[kMostDecodeHeadSize];
  for (int64_t t = first; t < last; ++t) {
    for (int64_t begin = 0; begin < C; begin += N) {
      const int64_t at = t * C + begin;
      const auto of = [&](const void* tensor) { return parameter<P>(tensor, at); };
      Rwkv7HeadParameters<P> parameters = {};
      parameters.ln_x_weight = parameter<P>(in.ln_x_weight, begin);
      parameters.ln_x_bias = parameter<P>(in.ln_x_bias, begin);
      parameters.r_k = parameter<P>(in.r_k, begin);
      load_row(of(in.y), N, y);
      finish_head<P, P>(parameters, of(in.r), of(in.k), of(in.v), of(in.gate), N, in.eps, y,
                        static_cast<P*>(in.gated) + at);
    }
  }
}

template <class P>
void square_relu(void* x, int64_t first, int64_t last) {
  P* const values = static_cast<P*>(x);
  for (int64_t i = first; i < last; i += kLanes<float>) {
    store_part(values, squared_relu(load_part(values, i, last)), i, last);
  }
}

}  // namespace wkv::WKV_ISA
