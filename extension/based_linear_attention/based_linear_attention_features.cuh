// Features and states of based_linear_attention on the GPU: what its kernels share. See based_linear_attention.h.
//
// The features of x are the products x_i x_j, i <= j, of its elements and a last element 1, in the order of (i, j); of
// those of q, which is divided by sqrt(d), the squares are halved. So sums over features are sums over scores a_ts, and
// a packed state is the sum of the features of k times v.
#pragma once
#include "core/cuda/platform.cuh"
#include "core/cuda/sequences.cuh"

namespace wkv::cuda {

// Factors between the rows of the features in memory and the packed ones; `pair` is that of the sum of (i, j) and
// (j, i), or of each of them.
struct BasedScales {
  double single, square, pair;
};

struct BasedCall {
  Sequences sequences;
  int64_t heads;
  int size, values;  // d, dv
  bool normalize;
  double eps, scale;               // of the scores
  BasedScales to_packed, to_full;  // of a state; of the gradient of one, the other way round

  __device__ int full_features() const { return 1 + size + size * size; }
};

// The states of all sequences and heads: kv [rows, heads, values, 1 + d + d^2], k [rows, heads, 1 + d + d^2]. Null,
// each by itself: zeros, or not wanted.
template <class acc_t>
struct BasedState {
  acc_t *kv, *k;

  // The row of a value, or of the normaliser, which comes after the last value.
  __device__ acc_t* row(const BasedCall& call, int64_t task, int value) const {
    if (value == call.values) return k ? k + task * call.full_features() : nullptr;
    return kv ? kv + (task * call.values + value) * call.full_features() : nullptr;
  }
};

// The place of (i, j), i <= j, among the features of `size` elements and the 1.
__device__ inline int based_feature(int size, int i, int j) { return i * (2 * size + 1 - i) / 2 + j; }

// The feature (i, j) of a row of a state in memory; `one` is the index of the 1, elements from `size` on are 0.
template <class acc_t>
__device__ acc_t load_feature(const acc_t* row, const BasedScales& scales, int size, int one, int i, int j) {
  if (!row) return 0;
  if (i == one) return row[0];
  if (i >= size) return 0;
  if (j == one) return row[1 + i] * static_cast<acc_t>(scales.single);
  if (j >= size) return 0;
  const acc_t upper = row[1 + size + i * size + j];
  if (i == j) return upper * static_cast<acc_t>(scales.square);
  return (upper + row[1 + size + j * size + i]) * static_cast<acc_t>(scales.pair);
}

// What is not symmetric in the state that was given, `before`, is neither read by a query nor changed by a token: it
// goes into the state after as it is.
template <class acc_t>
__device__ void store_feature(acc_t value, const acc_t* before, acc_t* row, const BasedScales& scales, int size,
                              int one, int i, int j) {
  if (!row) return;
  if (i == one) {
    row[0] = value;
  } else if (i >= size) {
    return;
  } else if (j == one) {
    row[1 + i] = value * static_cast<acc_t>(scales.single);
  } else if (i == j) {
    row[1 + size + i * size + i] = value * static_cast<acc_t>(scales.square);
  } else if (j < size) {
    const int upper = 1 + size + i * size + j, lower = 1 + size + j * size + i;
    const acc_t half = before ? (before[upper] - before[lower]) / 2 : 0, both = value * static_cast<acc_t>(scales.pair);
    row[upper] = both + half;
    row[lower] = both - half;
  }
}

// The state after no token, of the rows of the values first, ..., last - 1; by the whole block.
template <class acc_t>
__device__ void copy_state_rows(const BasedCall& call, const BasedState<const acc_t>& before,
                                const BasedState<acc_t>& after, int64_t task, int first, int last) {
  for (int value = first; value < last; ++value) {
    const acc_t* const from = before.row(call, task, value);
    acc_t* const to = after.row(call, task, value);
    for (int i = threadIdx.x; to && i < call.full_features(); i += blockDim.x) to[i] = from ? from[i] : 0;
  }
}

// 1 + x + x^2 / 2.
template <class acc_t>
__device__ inline acc_t taylor_exponential(acc_t x) {
  return 1 + x * (1 + x / 2);
}

// What the gradients of the keys need of a query's normaliser z and g = dL/dy, with N the numerator and own = g . v of
// the query's own token; arrays of [tokens, heads].
template <class acc_t>
struct BasedQuerySums {
  acc_t* inverse;  // 1 / (z + eps); 1 where y is not normalised, and then the others are 0
  acc_t* dz;       // dL/dz
  acc_t* mean;     // -dL/dz - own / (z + eps): what dL/d(a_tt) is less than 0

  // From dot = g . N - z own, which is exactly 0 where a query sees its own token alone.
  __device__ void set(const BasedCall& call, int64_t at, acc_t z, acc_t dot, acc_t own) const {
    const acc_t eps = static_cast<acc_t>(call.eps), factor = call.normalize ? 1 / (z + eps) : acc_t{1};
    inverse[at] = factor;
    mean[at] = call.normalize ? (dot - eps * own) * factor * factor : acc_t{0};
    dz[at] = call.normalize ? -(mean[at] + own * factor) : acc_t{0};
  }
};

}  // namespace wkv::cuda
