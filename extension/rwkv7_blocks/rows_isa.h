// What RWKV-7 does with rows of values between its products, for decoding and for prompts. Lengths are of whole
// vectors. To be included by *_isa.h files only.
#pragma once
#include "core/simd/rows.h"
#include "rwkv7_blocks/rwkv7_blocks.h"

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

// At the first channel of a head.
template <class P>
struct Rwkv7HeadParameters {
  const P *w0, *a0, *v0, *k_k, *k_a;  // v0 null: in the first block
  const P *ln_x_weight, *ln_x_bias, *r_k;
};

// A head's row: the products of low rank, k and v to what the recurrence is given: its log decay w, k, v, a and b.
template <class T, class P>
inline void prepare_head(const Rwkv7HeadParameters<P>& p, const T* decay, const T* rate, const T* residual,
                         const T* first_value, int64_t N, float* w, T* k, T* v, T* a, T* b) {
  constexpr float kLogDecay = -0.60653066f;  // -e^(-1/2)
  Vec<float> squares = {};
  for_vectors(N, [&](int64_t n) {
    const Vec<float> removal = load_as(k + n) * load_as(p.k_k + n);
    squares = fma(removal, removal, squares);
  });
  const float length = __builtin_sqrtf(sum_of(squares));
  const Vec<float> unit = broadcast(1 / (length < 1e-12f ? 1e-12f : length)), one = broadcast(1.0f);
  for_vectors(N, [&](int64_t n) {
    const Vec<float> key = load_as(k + n), removal = key * load_as(p.k_k + n) * unit,
                     in_context_rate = sigmoid(load_as(rate + n) + load_as(p.a0 + n));
    store(w + n, kLogDecay * sigmoid(load_as(decay + n) + load_as(p.w0 + n)));
    store_as(k + n, key * fma(in_context_rate - one, load_as(p.k_a + n), one));
    store_as(a + n, -removal);
    store_as(b + n, removal * in_context_rate);
    if (p.v0) {
      const Vec<float> value = load_as(v + n), share = sigmoid(load_as(residual + n) + load_as(p.v0 + n));
      store_as(v + n, fma(load_as(first_value + n) - value, share, value));
    }
  });
}

// gated = (y normalised + (r . k r_k) v) * gate; y is used up.
template <class T, class P>
inline void finish_head(const Rwkv7HeadParameters<P>& p, const T* r, const T* k, const T* v, const T* gate, int64_t N,
                        float eps, float* y, T* gated) {
  Vec<float> bonus = {};
  for_vectors(N, [&](int64_t n) { bonus = fma(load_as(r + n) * load_as(k + n), load_as(p.r_k + n), bonus); });
  const Vec<float> factor = broadcast(sum_of(bonus));
  normalise(y, p.ln_x_weight, p.ln_x_bias, N, eps, y);
  for_vectors(N, [&](int64_t n) { store_as(gated + n, fma(factor, load_as(v + n), load(y + n)) * load_as(gate + n)); });
}

}  // namespace wkv::WKV_ISA
