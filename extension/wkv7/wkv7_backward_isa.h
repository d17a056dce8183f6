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
      : token(arena, key_size, value_size) {
    const int64_t columns = padded<acc_t>(value_size), rows = padded<acc_t>(key_size), chunk = wkv7_chunk(length);
    const int64_t state = key_size * columns;
    checkpoints = arena.take<acc_t>((length + chunk - 1) / chunk * state);
    states = arena.take<acc_t>(chunk * state);
    work = arena.take<acc_t>(state);
    G = arena.take<acc_t>(state);
    sa = arena.take<acc_t>((chunk + 1) * columns);
    for (acc_t** row : {&g, &dv, &dsa}) *row = arena.take<acc_t>(columns);
    for (acc_t** row : {&a, &slope, &gradient}) *row = arena.take<acc_t>(rows);
    for (V** sums : {&dr, &dk, &db, &da, &dd}) *sums = arena.take<V>(rows);
  }
  Wkv7Token<acc_t> token;
  acc_t* checkpoints;         // [chunks][key][columns]: the state before each chunk
  acc_t* states;              // [chunk][key][columns]: the state after each token of the present chunk
  acc_t *work, *G;            // [key][columns]
  acc_t* sa;                  // [chunk + 1][columns]
  acc_t *g, *dv, *dsa;        // [columns]
  acc_t *a, *slope;           // [key]
  acc_t* gradient;            // [key]
  V *dr, *dk, *db, *da, *dd;  // [key] vectors, of which the sums over the lanes are wanted
};

template <class io_t>
int64_t wkv7_backward_scratch(const Wkv7Inputs& in, int64_t length) {
  Arena arena(nullptr);
  Wkv7BackwardScratch<accumulate_t<io_t>>(arena, in.key_size, in.value_size, length);
  return arena.used();
}

// G of the token from G of the one after it, and what follows from G and the state after the token.
template <int C, class acc_t>
inline void add_output_gradient(const Wkv7BackwardScratch<acc_t>& my, int64_t rows, int64_t stride, int64_t j,
                                const acc_t* after, const acc_t* sa_row) {
  constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;
  const Wkv7Token<acc_t>& x = my.token;
  V g[C], v[C], sa[C], dv[C] = {}, dsa[C] = {};
  for (int c = 0; c < C; ++c) {
    g[c] = load(my.g + j + c * W);
    v[c] = load(x.v + j + c * W);
    sa[c] = load(sa_row + j + c * W);
  }
  for (int64_t i = 0; i < rows; ++i) {
    const V r = broadcast(x.r[i]), k = broadcast(x.k[i]), b = broadcast(x.b[i]);
    const acc_t* state = after + i * stride + j;
    acc_t* G = my.G + i * stride + j;
    V dr = {}, dk = {}, db = {};
    if (j > 0) dr = my.dr[i], dk = my.dk[i], db = my.db[i];
    for (int c = 0; c < C; ++c) {
      const V gradient = fma(r, g[c], load(G + c * W));
      store(G + c * W, gradient);
      dr = fma(load(state + c * W), g[c], dr);
      dk = fma(gradient, v[c], dk);
      db = fma(gradient, sa[c], db);
      dv[c] = fma(k, gradient, dv[c]);
      dsa[c] = fma(b, gradient, dsa[c]);
    }
    my.dr[i] = dr, my.dk[i] = dk, my.db[i] = db;
  }
  for (int c = 0; c < C; ++c) {
    store(my.dv + j + c * W, dv[c]);
    store(my.dsa + j + c * W, dsa[c]);
  }
}

// G of the token before, and what follows from the state before the token.
template <int C, class acc_t>
inline void step_back(const Wkv7BackwardScratch<acc_t>& my, int64_t rows, int64_t stride, int64_t j,
                      const acc_t* before) {
  constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;
  V dsa[C];
  for (int c = 0; c < C; ++c) dsa[c] = load(my.dsa + j + c * W);
  for (int64_t i = 0; i < rows; ++i) {
    const V d = broadcast(my.token.d[i]), a = broadcast(my.a[i]);
    const acc_t* state = before + i * stride + j;
    acc_t* G = my.G + i * stride + j;
    V da = {}, dd = {};
    if (j > 0) da = my.da[i], dd = my.dd[i];
    for (int c = 0; c < C; ++c) {
      const V s = load(state + c * W), gradient = load(G + c * W);
      da = fma(s, dsa[c], da);
      dd = fma(s, gradient, dd);
      store(G + c * W, fma(a, dsa[c], d * gradient));
    }
    my.da[i] = da, my.dd[i] = dd;
  }
}

// The sums over the lanes of rows[i], to the row of a gradient tensor.
template <class io_t, class acc_t>
inline void store_sums(const Vec<acc_t>* rows, int64_t n, acc_t* buffer, io_t* to) {
  for (int64_t i = 0; i < n; i += kLanes<acc_t>) store(buffer + i, sums_of_rows(rows + i));
  store_row(buffer, n, to);
}

template <class io_t>
void wkv7_backward(const Wkv7Inputs& in, const Wkv7Sequence& sequence, const Wkv7Gradients& grad, void* scratch) {
  using acc_t = accumulate_t<io_t>;
  const int64_t N = in.key_size, M = in.value_size, T = sequence.length, columns = padded<acc_t>(M),
                state = N * columns;
  const int64_t chunk = wkv7_chunk(T);
  Arena arena(scratch);
  Wkv7BackwardScratch<acc_t> my(arena, N, M, T);
  Wkv7Token<acc_t>& x = my.token;
  for (Vec<acc_t>* sums : {my.dr, my.dk, my.db, my.da, my.dd}) {
    for (int64_t i = N; i < padded<acc_t>(N); ++i) sums[i] = Vec<acc_t>{};
  }

  const auto load_token = [&](int64_t t) {
    const Wkv7Rows at(in, sequence, t), next(in, sequence, t + 1 < T ? t + 1 : t);
    load_row(row_of<io_t>(in.k, at.key), N, x.k);
    load_row(row_of<io_t>(in.b, at.key), N, x.b);
    load_row(row_of<io_t>(in.a, next.key), N, x.a_next);
    load_row(row_of<io_t>(in.v, at.value), M, x.v);
  };
  const auto start_chunk = [&](int64_t t, const acc_t* before) {
    load_row(row_of<io_t>(in.a, Wkv7Rows(in, sequence, t).key), N, x.a_next);
    multiply_state(x.a_next, before, N, columns, my.sa);
  };

  // Forward once, keeping the states before each chunk.
  if (T > 0) {
    if (sequence.state_before) {
      transpose(row_of<acc_t>(sequence.state_before, 0), N, M, N, my.checkpoints, columns);
    } else {
      for (int64_t i = 0; i < state; ++i) my.checkpoints[i] = 0;
    }
    const int64_t last_chunk = (T - 1) / chunk * chunk;
    const acc_t* before = my.checkpoints;
    start_chunk(0, before);
    for (int64_t t = 0; t < last_chunk; ++t) {
      load_decay<io_t>(in, Wkv7Rows(in, sequence, t).key, x.d);
      load_token(t);
      acc_t* after = (t + 1) % chunk == 0 ? my.checkpoints + (t + 1) / chunk * state : my.work;
      step<false>(x, N, columns, before, after, my.sa, my.sa, my.sa);
      before = after;
    }
  }

  transpose(row_of<acc_t>(grad.state_after, 0), N, M, N, my.G, columns);
  for (int64_t start = T > 0 ? (T - 1) / chunk * chunk : -1; start >= 0; start -= chunk) {
    const int64_t length = T - start < chunk ? T - start : chunk;
    const acc_t* checkpoint = my.checkpoints + start / chunk * state;
    const auto state_after = [&](int64_t t) { return t < 0 ? checkpoint : my.states + t * state; };
    start_chunk(start, checkpoint);
    for (int64_t t = 0; t < length; ++t) {
      load_decay<io_t>(in, Wkv7Rows(in, sequence, start + t).key, x.d);
      load_token(start + t);
      acc_t* sa = my.sa + t * columns;
      step<false>(x, N, columns, state_after(t - 1), my.states + t * state, sa, sa + columns, sa);
    }
    for (int64_t t = length - 1; t >= 0; --t) {
      const Wkv7Rows at(in, sequence, start + t);
      load_decay<io_t>(in, at.key, x.d, my.slope);
      load_token(start + t);
      load_row(row_of<io_t>(in.r, at.key), N, x.r);
      load_row(row_of<io_t>(in.a, at.key), N, my.a);
      load_row(row_of<io_t>(grad.y, at.value), M, my.g);
      for_column_blocks<acc_t>(columns, [&](int64_t j, auto vectors) {
        add_output_gradient<decltype(vectors)::value>(my, N, columns, j, state_after(t), my.sa + t * columns);
      });
      for_column_blocks<acc_t>(columns, [&](int64_t j, auto vectors) {
        step_back<decltype(vectors)::value>(my, N, columns, j, state_after(t - 1));
      });
      store_sums(my.dr, N, my.gradient, row_of<io_t>(grad.r, at.key));
      store_sums(my.dk, N, my.gradient, row_of<io_t>(grad.k, at.key));
      store_sums(my.db, N, my.gradient, row_of<io_t>(grad.b, at.key));
      store_sums(my.da, N, my.gradient, row_of<io_t>(grad.a, at.key));
      store_row(my.dv, M, row_of<io_t>(grad.v, at.value));
      for (int64_t i = 0; i < N; i += kLanes<acc_t>) {
        store(my.gradient + i, sums_of_rows(my.dd + i) * load(my.slope + i));
      }
      if (!in.float_w) {
        store_row(my.gradient, N, row_of<io_t>(grad.w, at.key));
      } else {
        for (int64_t i = 0; i < N; ++i) row_of<float>(grad.w, at.key)[i] = static_cast<float>(my.gradient[i]);
      }
    }
  }
  transpose(my.G, columns, N, M, row_of<acc_t>(grad.state_before, 0), N);
}

}  // namespace wkv::WKV_ISA
