// Weighted sums of values and the sums of their weights, whose ratio is the weighted mean; and such sums with an
// exponent apart, so that weights e^x of any x neither overflow nor vanish. To be included by *_isa.cpp files only.
#pragma once
#include "core/simd/vec.h"

namespace wkv::WKV_ISA {

template <class acc_t>
struct Sums {
  Vec<acc_t> values = {}, weights = {};
};
template <class acc_t>
inline Sums<acc_t> operator+(Sums<acc_t> x, Sums<acc_t> y) {
  return {x.values + y.values, x.weights + y.weights};
}
template <class acc_t>
inline Sums<acc_t> fma(Vec<acc_t> factor, Sums<acc_t> x, Sums<acc_t> y) {
  return {fma(factor, x.values, y.values), fma(factor, x.weights, y.weights)};
}
template <class acc_t>
inline Sums<acc_t> operator*(Vec<acc_t> factor, Sums<acc_t> x) {
  return {factor * x.values, factor * x.weights};
}
// One value, of weight 1.
template <class acc_t>
inline Sums<acc_t> single(Vec<acc_t> value) {
  return {value, broadcast<acc_t>(1)};
}

// e^x and e^y relative to the larger of them, by a single exp.
template <class acc_t>
struct RelativeExp {
  RelativeExp(Vec<acc_t> x, Vec<acc_t> y) : RelativeExp(x, y, exp_of_negative(negative_abs(x - y))) {}
  // The same from the exp that was taken for them.
  RelativeExp(Vec<acc_t> x, Vec<acc_t> y, Vec<acc_t> e)
      : top(max(x, y)), smaller(e), first(x > y ? broadcast<acc_t>(1) : e), second(x > y ? e : broadcast<acc_t>(1)) {}
  Vec<acc_t> top, smaller, first, second;
};

// e^exponent times the sums.
template <class acc_t>
struct LogSums {
  Vec<acc_t> exponent;
  Sums<acc_t> sums;
};
// What sums over nothing are. Not -inf: the difference of two exponents is taken.
template <class acc_t>
inline LogSums<acc_t> empty_log_sums() {
  return {broadcast(static_cast<acc_t>(-1e38)), {}};
}
// x with one value more, of weight e^exponent.
template <class acc_t>
inline LogSums<acc_t> add(LogSums<acc_t> x, Vec<acc_t> exponent, Sums<acc_t> value) {
  const RelativeExp<acc_t> weight(x.exponent, exponent);
  return {weight.top, fma(weight.first, x.sums, weight.second * value)};
}

}  // namespace wkv::WKV_ISA
