// The backward of wkv7: the entry that wkv7_isa.cpp puts into the kernel table.
//
// States are never reconstructed by dividing by a decay: the state before every L-th token is kept, and the L states of
// such a chunk are recomputed from it before the sweep back through the chunk. With G = dL/dS and g = dL/dy:
//   dr_i = sum_j S_ij g_j;  G_ij += r_i g_j;  dk_i = sum_j G_ij v_j;  dv_j = sum_i G_ij k_i;  db_i = sum_j G_ij sa_j;
//   dsa_j = sum_i G_ij b_i;  S: before the token:  da_i = sum_j S_ij dsa_j;  dd_i = sum_j G_ij S_ij;
//   G_ij <- d_i G_ij + a_i dsa_j
#pragma once
#include "wkv7/wkv7_step.h"

namespace wkv::WKV_ISA {

inline int64_t wkv7_chunk(int64_t length) {
  int64_t chunk = 16;
  while (chunk * chunk < length) chunk += 16;
  return chunk;
}

template <class acc_t>
struct Wkv7BackwardScratch {
  using V = Vec<acc_t>;
  Wkv7BackwardScratch(Arena& arena, int64_t key_size, int64_t value_size, int64_t length)
      : columns(padded<acc_t>(value_size)), rows(padded<acc_t>(key_size)), state(key_size * columns) {
    const int64_t chunk = wkv7_chunk(length);
    checkpoints = arena.take<acc_t>((length + chunk - 1) / chunk * state);
    states = arena.take<acc_t>(chunk * state);
    work = arena.take<acc_t>(state);
    G = arena.take<acc_t>(state);
    for (acc_t** chunk_rows : {&d, &slope, &k, &b, &a}) *chunk_rows = arena.take<acc_t>((chunk + 1) * rows);
    for (acc_t** chunk_rows : {&v, &sa}) *chunk_rows = arena.take<acc_t>((chunk + 1) * columns);
    for (acc_t** row : {&g, &dv, &dsa}) *row = arena.take<acc_t>(columns);
    for (acc_t** row : {&r, &gradient}) *row = arena.take<acc_t>(rows);
    for (V** sums : {&dr, &dk, &db, &da, &dd}) *sums = arena.take<V>(rows);
  }
  // Token t of the present chunk.
  Wkv7Token<acc_t> token(int64_t t) const {
    return {d + t * rows, k + t * rows, b + t * rows, r, a + (t + 1) * rows, v + t * columns};
  }
  int64_t columns, rows;         // M and N, padded
  int64_t state;                 // elements of a state
  acc_t* checkpoints;            // [chunks][key][columns]: the state before each chunk
  acc_t* states;                 // [chunk][key][columns]: the state after each token of the present chunk
  acc_t *work, *G;               // [key][columns]
  acc_t *d, *slope, *k, *b, *a;  // [chunk + 1][key]
  acc_t *v, *sa;                 // [chunk + 1][columns]
  acc_t *g, *dv, *dsa;           // [columns]
  acc_t *r, *gradient;           // [key]
  V *dr, *dk, *db, *da, *dd;     // [key] vectors, of which the sums over the lanes are wanted
};

template <class io_t>
int64_t wkv7_backward_scratch(const Wkv7Inputs& in, int64_t length) {
  Arena arena(nullptr);
  Wkv7BackwardScratch<accumulate_t<io_t>>(arena, in.key_size, in.value_size, length);
  return arena.used();
}

// The gradient tensors' rows of one token are sums over the lanes of `sums`.
template <class io_t, class acc_t>
inline void store_sums(const Vec<acc_t>* sums, int64_t n, acc_t* buffer, io_t* to) {
  for (int64_t i = 0; i < n; i += kLanes<acc_t>) store(buffer + i, sums_of_rows(sums + i));
  store_row(buffer, n, to);
}

// One sweep over the state between the tokens t and t + 1, S, and its gradient. kBack: from G of token t + 1 the G that
// token t is given, and what follows for t + 1 from S. kOutput: adds what the output of token t gives to G, and what
// follows for t. Both in one, where the tokens are in the same chunk: S and G are read once. C vectors of columns.
template <int C, bool kBack, bool kOutput, class acc_t>
inline void sweep_back(const Wkv7BackwardScratch<acc_t>& my, int64_t t, const acc_t* state, int64_t N, int64_t j) {
  constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;
  const Wkv7Token<acc_t> x = my.token(kOutput ? t : t + 1);
  const acc_t *const d_next = my.d + (t + 1) * my.rows, *const a_next = my.a + (t + 1) * my.rows;
  const acc_t* S = state + j;
  acc_t* G = my.G + j;
  V *const dr_rows = my.dr, *const dk_rows = my.dk, *const db_rows = my.db, *const da_rows = my.da,
           *const dd_rows = my.dd;
  const int64_t stride = my.columns;
  V dsa_next[C], g[C], v[C], sa[C], dv[C] = {}, dsa[C] = {};
  for (int c = 0; c < C; ++c) {
    if constexpr (kBack) dsa_next[c] = load(my.dsa + j + c * W);
    if constexpr (kOutput) {
      g[c] = load(my.g + j + c * W);
      v[c] = load(x.v + j + c * W);
      sa[c] = load(my.sa + t * my.columns + j + c * W);
    }
  }
  for (int64_t i = 0; i < N; ++i, S += stride, G += stride) {
    V dr = {}, dk = {}, db = {}, da = {}, dd = {};
    if (j > 0) {
      if constexpr (kBack) da = da_rows[i], dd = dd_rows[i];
      if constexpr (kOutput) dr = dr_rows[i], dk = dk_rows[i], db = db_rows[i];
    }
    for (int c = 0; c < C; ++c) {
      const V s = load(S + c * W);
      V gradient = load(G + c * W);
      if constexpr (kBack) {
        da = fma(s, dsa_next[c], da);
        dd = fma(s, gradient, dd);
        gradient = fma(broadcast(a_next[i]), dsa_next[c], broadcast(d_next[i]) * gradient);
      }
      if constexpr (kOutput) {
        gradient = fma(broadcast(x.r[i]), g[c], gradient);
        dr = fma(s, g[c], dr);
        dk = fma(gradient, v[c], dk);
        db = fma(gradient, sa[c], db);
        dv[c] = fma(broadcast(x.k[i]), gradient, dv[c]);
        dsa[c] = fma(broadcast(x.b[i]), gradient, dsa[c]);
      }
      store(G + c * W, gradient);
    }
    if constexpr (kBack) da_rows[i] = da, dd_rows[i] = dd;
    if constexpr (kOutput) dr_rows[i] = dr, dk_rows[i] = dk, db_rows[i] = db;
  }
  if constexpr (kOutput) {
    for (int c = 0; c < C; ++c) {
      store(my.dv + j + c * W, dv[c]);
      store(my.dsa + j + c * W, dsa[c]);
    }
  }
}

template <class io_t>
class Wkv7Backward {
 public:
  using acc_t = accumulate_t<io_t>;

  Wkv7Backward(const Wkv7Inputs& in, const Wkv7Sequence& sequence, const Wkv7Gradients& grad, void* scratch)
      : in_(in),
        sequence_(sequence),
        grad_(grad),
        arena_(scratch),
        my_(arena_, in.key_size, in.value_size, sequence.length) {
    for (Vec<acc_t>* sums : {my_.dr, my_.dk, my_.db, my_.da, my_.dd}) {
      for (int64_t i = N; i < my_.rows; ++i) sums[i] = Vec<acc_t>{};
    }
  }

  void run() {
    if (T > 0) keep_checkpoints();
    transpose(row_of<acc_t>(grad_.state_after, 0), N, M, N, my_.G, my_.columns);
    for (int64_t start = T > 0 ? (T - 1) / chunk * chunk : -1; start >= 0; start -= chunk) {
      const int64_t length = T - start < chunk ? T - start : chunk;
      const acc_t* checkpoint = my_.checkpoints + start / chunk * my_.state;
      recompute(start, length, checkpoint);
      back(start, length, checkpoint);
    }
    if (grad_.state_before) transpose(my_.G, my_.columns, N, M, row_of<acc_t>(grad_.state_before, 0), N);
  }

 private:
  Wkv7Rows rows(int64_t t) const { return Wkv7Rows(in_, sequence_, t < 0 ? 0 : t < T ? t : T - 1); }

  // The rows of the inputs but r, of token t, to row `at` of the chunk.
  void load_token(int64_t t, int64_t at) {
    wkv7_prefetch<io_t>(in_, grad_.y, rows(t + 3), 0, M).rest(0);
    const Wkv7Rows from = rows(t);
    load_decay<io_t>(in_.decay, from.key, N, my_.d + at * my_.rows, my_.slope + at * my_.rows);
    load_row(row_of<io_t>(in_.k, from.key), N, my_.k + at * my_.rows);
    load_row(row_of<io_t>(in_.b, from.key), N, my_.b + at * my_.rows);
    load_row(row_of<io_t>(in_.a, rows(t + 1).key), N, my_.a + (at + 1) * my_.rows);
    load_row(row_of<io_t>(in_.v, from.value), M, my_.v + at * my_.columns);
  }
  void start(int64_t t, const acc_t* before) {
    load_row(row_of<io_t>(in_.a, rows(t).key), N, my_.a);
    multiply_state(my_.a, before, N, my_.columns, my_.sa);
  }

  // Forward once; only the states before the chunks are kept.
  void keep_checkpoints() {
    if (sequence_.state_before) {
      transpose(row_of<acc_t>(sequence_.state_before, 0), N, M, N, my_.checkpoints, my_.columns);
    } else {
      for (int64_t i = 0; i < my_.state; ++i) my_.checkpoints[i] = 0;
    }
    const acc_t* before = my_.checkpoints;
    start(0, before);
    for (int64_t t = 0; t < (T - 1) / chunk * chunk; ++t) {
      load_token(t, 0);
      acc_t* after = (t + 1) % chunk == 0 ? my_.checkpoints + (t + 1) / chunk * my_.state : my_.work;
      step<false>(my_.token(0), N, my_.columns, before, after, my_.sa, my_.sa, my_.sa);
      before = after;
    }
  }

  void recompute(int64_t first, int64_t length, const acc_t* before) {
    start(first, before);
    for (int64_t t = 0; t < length; ++t) {
      load_token(first + t, t);
      acc_t *after = my_.states + t * my_.state, *sa = my_.sa + t * my_.columns;
      step<false>(my_.token(t), N, my_.columns, before, after, sa, sa + my_.columns, sa);
      before = after;
    }
  }

  // Backwards through the chunk that starts at `first`; `before` is the state before it.
  void back(int64_t first, int64_t length, const acc_t* before) {
    load_output(first + length - 1);
    sweep<false, true>(length - 1, my_.states + (length - 1) * my_.state);
    store_output(first + length - 1);
    for (int64_t t = length - 2; t >= 0; --t) {
      load_output(first + t);
      sweep<true, true>(t, my_.states + t * my_.state);
      store_back(first, t + 1);
      store_output(first + t);
    }
    sweep<true, false>(-1, before);
    store_back(first, 0);
  }

  template <bool kBack, bool kOutput>
  void sweep(int64_t t, const acc_t* state) {
    for_column_blocks<acc_t>(my_.columns, [&](int64_t j, auto vectors) {
      sweep_back<decltype(vectors)::value, kBack, kOutput>(my_, t, state, N, j);
    });
  }

  // What the output of token t needs.
  void load_output(int64_t t) {
    const Wkv7Rows at = rows(t), ahead = rows(t - 3);
    prefetch_row(row_of<io_t>(in_.r, ahead.key), N);
    prefetch_row(row_of<io_t>(grad_.y, ahead.value), M);
    for (const void* output : {grad_.r, grad_.k, grad_.a, grad_.b}) prefetch_row(row_of<io_t>(output, ahead.key), N);
    prefetch_row(row_of<io_t>(static_cast<const void*>(grad_.w), ahead.key), N);
    prefetch_row(row_of<io_t>(static_cast<const void*>(grad_.v), ahead.value), M);
    load_row(row_of<io_t>(in_.r, at.key), N, my_.r);
    load_row(row_of<io_t>(grad_.y, at.value), M, my_.g);
  }
  void store_output(int64_t t) {
    const Wkv7Rows at = rows(t);
    store_sums(my_.dr, N, my_.gradient, row_of<io_t>(grad_.r, at.key));
    store_sums(my_.dk, N, my_.gradient, row_of<io_t>(grad_.k, at.key));
    store_sums(my_.db, N, my_.gradient, row_of<io_t>(grad_.b, at.key));
    store_row(my_.dv, M, row_of<io_t>(grad_.v, at.value));
  }
  // The gradients that go through the state before token t of the chunk.
  void store_back(int64_t first, int64_t t) {
    const Wkv7Rows at = rows(first + t);
    store_sums(my_.da, N, my_.gradient, row_of<io_t>(grad_.a, at.key));
    for (int64_t i = 0; i < N; i += kLanes<acc_t>) {
      store(my_.gradient + i, sums_of_rows(my_.dd + i) * load(my_.slope + t * my_.rows + i));
    }
    if (!in_.decay.float_w) {
      store_row(my_.gradient, N, row_of<io_t>(grad_.w, at.key));
    } else {
      for (int64_t i = 0; i < N; ++i) row_of<float>(grad_.w, at.key)[i] = static_cast<float>(my_.gradient[i]);
    }
  }

  const Wkv7Inputs in_;
  const Wkv7Sequence sequence_;
  const Wkv7Gradients grad_;
  const int64_t N = in_.key_size, M = in_.value_size, T = sequence_.length, chunk = wkv7_chunk(T);
  Arena arena_;
  const Wkv7BackwardScratch<acc_t> my_;
};

template <class io_t>
void wkv7_backward(const Wkv7Inputs& in, const Wkv7Sequence& sequence, const Wkv7Gradients& grad, void* scratch) {
  Wkv7Backward<io_t>(in, sequence, grad, scratch).run();
}

}  // namespace wkv::WKV_ISA
