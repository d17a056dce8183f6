// Weighted sums of values and the sums of their weights, whose ratio is the weighted mean; and such sums with an
// exponent apart, so that weights e^x of any x neither overflow nor vanish.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

__device__ inline float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline double fma(double a, double b, double c) { return ::fma(a, b, c); }

template <class acc_t>
struct Sums {
  acc_t values = 0, weights = 0;
};
template <class acc_t>
__device__ inline Sums<acc_t> operator*(acc_t factor, Sums<acc_t> x) {
  return {factor * x.values, factor * x.weights};
}
template <class acc_t>
__device__ inline Sums<acc_t> fma(acc_t factor, Sums<acc_t> x, Sums<acc_t> y) {
  return {fma(factor, x.values, y.values), fma(factor, x.weights, y.weights)};
}

// e^x and e^y relative to the larger of them, by a single exp.
template <class acc_t>
struct RelativeExp {
  __device__ RelativeExp(acc_t x, acc_t y) : RelativeExp(x, y, exponential(x > y ? y - x : x - y)) {}
  // The same from the exp that was taken for them.
  __device__ RelativeExp(acc_t x, acc_t y, acc_t e)
      : top(x > y ? x : y), smaller(e), first(x > y ? acc_t{1} : e), second(x > y ? e : acc_t{1}) {}
  acc_t top, smaller, first, second;
};

// e^exponent times the sums. Sums over nothing: not of the exponent -inf, for differences of exponents are taken.
template <class acc_t>
struct LogSums {
  acc_t exponent = static_cast<acc_t>(-1e38);
  Sums<acc_t> sums;
};
template <class acc_t>
__device__ inline LogSums<acc_t> decayed(LogSums<acc_t> x, acc_t log_decay) {
  return {x.exponent + log_decay, x.sums};
}
template <class acc_t>
__device__ inline LogSums<acc_t> add(LogSums<acc_t> x, LogSums<acc_t> y) {
  const RelativeExp<acc_t> weight(x.exponent, y.exponent);
  return {weight.top, fma(weight.first, x.sums, weight.second * y.sums)};
}
// One value, of weight e^exponent.
template <class acc_t>
__device__ inline LogSums<acc_t> single(acc_t exponent, acc_t value) {
  return {exponent, {value, 1}};
}

// The rows values, weights and exponent of LogSums in memory, `stride` elements apart.
template <class acc_t>
__device__ inline LogSums<acc_t> load_log_sums(const acc_t* rows, int64_t stride) {
  return {rows[2 * stride], {rows[0], rows[stride]}};
}
template <class acc_t>
__device__ inline void store_log_sums(acc_t* rows, int64_t stride, const LogSums<acc_t>& x) {
  rows[0] = x.sums.values;
  rows[stride] = x.sums.weights;
  rows[2 * stride] = x.exponent;
}

}  // namespace wkv::cuda
