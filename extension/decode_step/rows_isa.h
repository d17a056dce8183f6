// What models do with rows of values between their products. Lengths are of whole vectors. To be included by *_isa.h
// files only.
#pragma once
#include "core/simd/rows.h"

namespace wkv::WKV_ISA {

inline constexpr float kLayerNormEps = 1e-5f;

template <class Function>
inline void for_vectors(int64_t n, const Function& function) {
  for (int64_t i = 0; i < n; i += kLanes<float>) function(i);
}
inline float sum_of(Vec<float> x) {
  float sum = 0;
  for (int i = 0; i < kLanes<float>; ++i) sum += x[i];
  return sum;
}
inline Vec<float> sigmoid(Vec<float> x) { return 1.0f / (1.0f + exp(-x)); }
inline Vec<float> tanh(Vec<float> x) {  // it is 1 beyond 10
  const Vec<float> e = exp_minus_one(2.0f * max(broadcast(-10.0f), min(broadcast(10.0f), x)));
  return e / (e + 2.0f);
}

inline Vec<float> squared_relu(Vec<float> x) {
  const Vec<float> zero = {}, rectified = x < zero ? zero : x;  // NaN stays
  return rectified * rectified;
}

// y = normalised x * weight + bias
template <class P>
inline void normalise(const float* x, const P* weight, const P* bias, int64_t n, float eps, float* y) {
  Vec<float> sum = {}, squares = {};
  for_vectors(n, [&](int64_t i) { sum += load(x + i); });
  const Vec<float> mean = broadcast(sum_of(sum) / static_cast<float>(n));
  for_vectors(n, [&](int64_t i) {
    const Vec<float> difference = load(x + i) - mean;
    squares = fma(difference, difference, squares);
  });
  const float variance = sum_of(squares) / static_cast<float>(n);
  const Vec<float> factor = broadcast(1 / __builtin_sqrtf(variance + eps));
  for_vectors(
      n, [&](int64_t i) { store(y + i, fma((load(x + i) - mean) * factor, load_as(weight + i), load_as(bias + i))); });
}

}  // namespace wkv::WKV_ISA
