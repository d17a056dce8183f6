// The scan over the tokens of a head: the outputs of wkv6, and of each direction of bi_wkv6. The state is
// S[key][value], so that all that happens to a column happens in one vector lane, whatever the number of columns a task
// is given.
#pragma once
#include "wkv6/wkv6_block.h"

namespace wkv::WKV_ISA {

// The decay of the state over a block: per key of a constant one kept + added, else D of the block's factors.
template <class acc_t>
struct Wkv6BlockDecay {
  const acc_t *kept, *added;  // null: D
};

// C vectors of columns: y_l = r'_l S + sum_m A_lm v_m, added to what is there if `add`; then S of the next block.
template <int C, bool kConstantDecay, class acc_t, class Prefetch>
inline void wkv6_sweep_columns(const Wkv6Factors<acc_t>& f, const Wkv6BlockDecay<acc_t>& decay, int64_t N,
                               int64_t stride, int64_t j, const acc_t* v_rows, acc_t* state, acc_t* const* y_rows,
                               bool add, const Prefetch& prefetch) {
  constexpr int W = kLanes<acc_t>, L = kWkv6Block;
  using V = Vec<acc_t>;
  V v[L][C], y[L][C];
#pragma GCC unroll 4
  for (int l = 0; l < L; ++l) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      v[l][c] = load(v_rows + l * stride + j + c * W);
      y[l][c] = add ? load(y_rows[l] + j + c * W) : V{};
    }
  }
#pragma GCC unroll 4
  for (int l = 0; l < L; ++l) {
#pragma GCC unroll 4
    for (int m = 0; m <= l; ++m) {
      const V pair = broadcast(f.pairs[wkv6_pair(l, m)]);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) y[l][c] = fma(pair, v[m][c], y[l][c]);
    }
  }
  acc_t* S = state + j;
  for (int64_t i = 0; i < N; ++i, S += stride) {
    prefetch(i);
    V s[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) s[c] = load(S + c * W);
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) {
      const V r = broadcast(f.r[l][i]);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) y[l][c] = fma(r, s[c], y[l][c]);
    }
    if constexpr (kConstantDecay) {
      const V kept = broadcast(decay.kept[i]), added = broadcast(decay.added[i]);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) s[c] = fma(added, s[c], kept * s[c]);
    } else {
      const V d = broadcast(f.d[i]);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) s[c] *= d;
    }
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) {
      const V k = broadcast(f.k[l][i]);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) s[c] = fma(k, v[l][c], s[c]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) store(S + c * W, s[c]);
  }
#pragma GCC unroll 4
  for (int l = 0; l < L; ++l) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) store(y_rows[l] + j + c * W, y[l][c]);
  }
}

template <bool kConstantDecay, class acc_t, class Prefetch>
inline void wkv6_sweep(const Wkv6Factors<acc_t>& f, const Wkv6BlockDecay<acc_t>& decay, int64_t N, int64_t columns,
                       const acc_t* v, acc_t* state, acc_t* const* y, bool add, const Prefetch& prefetch) {
  constexpr int kVectors = kVectorBytes == 64 ? 2 : 1;  // four tokens' v and y of so many fit the registers
  for_column_blocks<acc_t, kVectors>(columns, [&](int64_t j, auto vectors) {
    constexpr int C = decltype(vectors)::value;
    if (j == 0) {
      wkv6_sweep_columns<C, kConstantDecay>(f, decay, N, columns, j, v, state, y, add, prefetch);
    } else {
      wkv6_sweep_columns<C, kConstantDecay>(f, decay, N, columns, j, v, state, y, add, NoPrefetch());
    }
  });
}

// A scan over the tokens of a sequence for the values first_value, ..., first_value + values - 1.
template <class io_t>
class Wkv6Scan {
 public:
  using acc_t = accumulate_t<io_t>;

  Wkv6Scan(Arena& arena, const Wkv6Inputs& in, int64_t first_value, int64_t values)
      : in_(in),
        first_value_(first_value),
        values_(values),
        columns(padded<acc_t>(values)),
        constants_(arena, in.key_size),
        factors_(arena.take<Wkv6Factors<acc_t>>(1)),
        v_(arena.take<acc_t>(kWkv6Block * columns)),
        d_(arena.take<acc_t>(kWkv6Block * padded<acc_t>(in.key_size))),
        state_(arena.take<acc_t>(in.key_size * columns)) {}

  // Before the first token of `rows`. state_before: [value, key] of the head, or null; with_u: the outputs have the
  // term of u.
  void start(const Wkv6Rows& rows, const void* state_before, bool with_u) const {
    const int64_t N = in_.key_size;
    constants_.fill(in_, rows.head, with_u);
    if (state_before) {
      transpose(row_of<acc_t>(state_before, first_value_ * N), N, values_, N, state_, columns);
    } else {
      for (int64_t i = 0; i < N * columns; ++i) state_[i] = 0;
    }
  }

  // The four tokens from t on: their outputs to, or added to, the rows y [columns]. `out` is where they will go.
  void block(const Wkv6Rows& rows, int64_t t, acc_t* const* y, bool add, const void* out) const {
    const int64_t N = in_.key_size, stride = padded<acc_t>(N);
    const auto prefetch = prefetch_of(rows, t + kWkv6Block, out);
    prefetch.rest(N);
    for (int l = 0; l < kWkv6Block; ++l) {
      if (t + l < rows.length) {
        const int64_t row = rows(t + l);
        if (!in_.constant_decay) load_decay<io_t>(in_.decay, row * N, N, d_ + l * stride);
        load_row(row_of<io_t>(in_.v, row * in_.value_size + first_value_), values_, v_ + l * columns);
      } else {
        for (int64_t j = 0; j < columns; ++j) v_[l * columns + j] = 0;
      }
    }
    wkv6_factors<true>(wkv6_tokens<io_t>(in_, rows, t, constants_, d_, stride), constants_.u, N, *factors_);
    const int64_t last = (rows.length - t < kWkv6Block ? rows.length - t : kWkv6Block) - 1;
    if (in_.constant_decay) {
      wkv6_sweep<true, acc_t>(*factors_, {constants_.kept[last], constants_.added[last]}, N, columns, v_, state_, y,
                              add, prefetch);
    } else {
      wkv6_sweep<false, acc_t>(*factors_, {}, N, columns, v_, state_, y, add, prefetch);
    }
  }

  // After the last token.
  void finish(void* state_after) const {
    const int64_t N = in_.key_size;
    transpose(state_, columns, N, values_, row_of<acc_t>(state_after, first_value_ * N), N);
  }

 private:
  auto prefetch_of(const Wkv6Rows& rows, int64_t t, const void* out) const {
    RowPrefetch<5 * kWkv6Block, 2> prefetch;
    const int64_t size = sizeof(io_t), keys = in_.key_size * size, values = values_ * size;
    const int64_t w_size = in_.decay.float_w ? static_cast<int64_t>(sizeof(float)) : size;
    for (int l = 0; l < kWkv6Block; ++l) {
      const int64_t row = rows(t + l), key = row * keys, value = row * in_.value_size * size + first_value_ * size;
      prefetch.add(in_.r, key, keys);
      prefetch.add(in_.k, key, keys);
      prefetch.add(in_.v, value, values);
      prefetch.add(out, value, values);
      prefetch.add(in_.decay.w, (in_.constant_decay ? rows.head : row) * in_.key_size * w_size, in_.key_size * w_size);
    }
    return prefetch;
  }

  const Wkv6Inputs& in_;
  const int64_t first_value_, values_;

 public:
  const int64_t columns;  // values_, padded

 private:
  const Wkv6Constants<io_t> constants_;
  Wkv6Factors<acc_t>* const factors_;
  acc_t *const v_, *const d_;  // [kWkv6Block][columns], [kWkv6Block][key]
  acc_t* const state_;         // [key][columns]
};

}  // namespace wkv::WKV_ISA
