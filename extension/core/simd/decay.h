// The decay factors of the matrix-state ops (wkv5, wkv6, wkv7). To be included by *_isa.cpp files only.
#pragma once
#include "core/decay_input.h"
#include "core/simd/rows.h"

namespace wkv::WKV_ISA {

// The decay factors d of n keys, whose w starts at element `offset`. Calls then(i, d, e^w) for each vector.
template <class io_t, class acc_t, class Then>
inline void load_decay_then(const DecayInput& in, int64_t offset, int64_t n, acc_t* d, const Then& then) {
  if (in.float_w) {
    load_float_row(row_of<float>(in.w, offset), n, d);
  } else {
    load_row(row_of<io_t>(in.w, offset), n, d);
  }
  for (int64_t i = 0; i < n; i += kLanes<acc_t>) {
    const Vec<acc_t> outer = exp(load(d + i));
    const Vec<acc_t> factor = in.log_decay ? outer : exp(-outer);
    store(d + i, factor);
    then(i, factor, outer);
  }
}

// The decay factors d of n keys, whose w starts at element `offset`; and the derivatives of d by w where the row
// `slope` is given. The rows d and slope are padded to whole vectors.
template <class io_t, class acc_t = accumulate_t<io_t>>
inline void load_decay(const DecayInput& in, int64_t offset, int64_t n, acc_t* d, acc_t* slope = nullptr) {
  load_decay_then<io_t>(in, offset, n, d, [&](int64_t i, Vec<acc_t> factor, Vec<acc_t> outer) {
    const Vec<acc_t> zero = {};
    // Where exp(w) overflowed, factor * exp(w) would be 0 * inf.
    if (slope) store(slope + i, in.log_decay ? factor : factor == zero ? zero : -outer * factor);
  });
}

// The same with the derivatives of log d, 0 where d is 0.
template <class io_t, class acc_t = accumulate_t<io_t>>
inline void load_log_decay(const DecayInput& in, int64_t offset, int64_t n, acc_t* d, acc_t* slope) {
  load_decay_then<io_t>(in, offset, n, d, [&](int64_t i, Vec<acc_t> factor, Vec<acc_t> outer) {
    const Vec<acc_t> zero = {}, one = broadcast(acc_t{1});
    store(slope + i, in.log_decay ? one : factor == zero ? zero : -outer);
  });
}

// d^steps as kept + added, of which kept is 1 for slow decays and 0 for fast ones: a state that takes a constant decay
// many times keeps its precision as S + S (d^steps - 1), while the rounding of a d^steps near 1 would add up.
template <class io_t, class acc_t = accumulate_t<io_t>>
inline void load_decay_power(const DecayInput& in, int64_t offset, int64_t n, int steps, acc_t* kept, acc_t* added) {
  if (in.float_w) {
    load_float_row(row_of<float>(in.w, offset), n, added);
  } else {
    load_row(row_of<io_t>(in.w, offset), n, added);
  }
  const Vec<acc_t> zero = {}, one = broadcast(acc_t{1}), half = broadcast(acc_t{0.5});
  for (int64_t i = 0; i < n; i += kLanes<acc_t>) {
    const Vec<acc_t> w = load(added + i), log_decay = (in.log_decay ? w : -exp(w)) * static_cast<acc_t>(steps);
    const Vec<acc_t> power = exp(log_decay);
    store(kept + i, power > half ? one : zero);
    store(added + i, power > half ? exp_minus_one(log_decay) : power);
  }
}

}  // namespace wkv::WKV_ISA
