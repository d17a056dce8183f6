// One token of wkv7 on the inner state S[key][value]: what the forward and the recomputation of the backward share.
#pragma once
#include "core/arena.h"
#include "core/simd/decay.h"
#include "core/simd/prefetch.h"
#include "core/simd/rows.h"
#include "wkv7/wkv7.h"

namespace wkv::WKV_ISA {

// Where the rows of token t of the sequence start.
struct Wkv7Rows {
  Wkv7Rows(const Wkv7Inputs& in, const Wkv7Sequence& sequence, int64_t t) {
    const int64_t row = (sequence.first_token + t) * in.heads + sequence.head;
    key = row * in.key_size;
    value = row * in.value_size;
  }
  int64_t key, value;
};

// The rows of a token as the accumulation type, padded with zeros to whole vectors.
template <class acc_t>
struct Wkv7Token {
  const acc_t *d, *k, *b, *r;
  const acc_t* a_next;  // a of the following token, for which the sweep already sums sa
  const acc_t* v;
};

// The rows of a token that is soon to be read.
template <class io_t>
[[gnu::always_inline]] inline RowPrefetch<7, 8> wkv7_prefetch(const Wkv7Inputs& in, const void* y, const Wkv7Rows& rows,
                                                              int64_t first_value, int64_t values) {
  RowPrefetch<7, 8> prefetch;
  const int64_t size = sizeof(io_t), keys = in.key_size * size;
  for (const void* tensor : {in.r, in.k, in.a, in.b}) prefetch.add(tensor, rows.key * size, keys);
  const int64_t w_size = in.decay.float_w ? static_cast<int64_t>(sizeof(float)) : size;
  prefetch.add(in.decay.w, rows.key * w_size, in.key_size * w_size);
  for (const void* tensor : {in.v, y}) prefetch.add(tensor, (rows.value + first_value) * size, values * size);
  return prefetch;
}

// sa += the sums over the keys of a_i S_ij, for `columns` columns (a whole number of vectors).
template <class acc_t>
inline void multiply_state(const acc_t* a, const acc_t* state, int64_t rows, int64_t columns, acc_t* sa) {
  constexpr int W = kLanes<acc_t>;
  for (int64_t j = 0; j < columns; j += W) {
    Vec<acc_t> sum = {};
    for (int64_t i = 0; i < rows; ++i) sum = fma(broadcast(a[i]), load(state + i * columns + j), sum);
    store(sa + j, sum);
  }
}

// C vectors of columns: before -> after (may be the same), sa of this token -> sa of the next, and y.
template <int C, bool kOutput, class acc_t, class Prefetch>
inline void step_columns(const Wkv7Token<acc_t>& x, int64_t rows, int64_t stride, int64_t j, const acc_t* before,
                         acc_t* after, const acc_t* sa, acc_t* sa_next, acc_t* y, const Prefetch& prefetch) {
  constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;
  V v[C], s[C], sum[C] = {}, next[C] = {};
  for (int c = 0; c < C; ++c) {
    v[c] = load(x.v + j + c * W);
    s[c] = load(sa + j + c * W);
  }
  for (int64_t i = 0; i < rows; ++i) {
    prefetch(i);
    const V d = broadcast(x.d[i]), k = broadcast(x.k[i]), b = broadcast(x.b[i]), r = broadcast(x.r[i]),
            a = broadcast(x.a_next[i]);
    const acc_t* from = before + i * stride + j;
    acc_t* to = after + i * stride + j;
    for (int c = 0; c < C; ++c) {
      const V state = fma(b, s[c], fma(k, v[c], d * load(from + c * W)));
      store(to + c * W, state);
      if constexpr (kOutput) sum[c] = fma(r, state, sum[c]);
      next[c] = fma(a, state, next[c]);
    }
  }
  for (int c = 0; c < C; ++c) {
    if constexpr (kOutput) store(y + j + c * W, sum[c]);
    store(sa_next + j + c * W, next[c]);
  }
}

template <bool kOutput, class acc_t, class Prefetch = NoPrefetch>
inline void step(const Wkv7Token<acc_t>& x, int64_t rows, int64_t columns, const acc_t* before, acc_t* after,
                 const acc_t* sa, acc_t* sa_next, acc_t* y, const Prefetch& prefetch = {}) {
  for_column_blocks<acc_t>(columns, [&](int64_t j, auto vectors) {
    constexpr int kVectors = decltype(vectors)::value;
    if (j == 0) {
      step_columns<kVectors, kOutput>(x, rows, columns, j, before, after, sa, sa_next, y, prefetch);
    } else {
      step_columns<kVectors, kOutput>(x, rows, columns, j, before, after, sa, sa_next, y, NoPrefetch());
    }
  });
}

}  // namespace wkv::WKV_ISA
