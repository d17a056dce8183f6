// The backward of based_linear_attention: the entry that based_linear_attention_isa.cpp puts into the kernel table.
//
// With g = dL/dy, z the normaliser, N the numerator and x the scores, per query t and key s <= t:
//   dN_t = g_t / (z_t + eps);  dz_t = -(g_t . N_t) / (z_t + eps)^2;  da_ts = dN_t . v_s + dz_t;  dx_ts = da_ts (1 +
//   x_ts)
// Within the chunk da_ts is taken as dN_t . (v_s - v_t) less the mean of that over s: so it is 0, not a difference of
// rounded numbers, where a query sees its own token alone.
// Two sweeps over the chunks; no state is kept. Forwards in time, with the state S before the chunk: the gradient of
// the feature p of q_t is S_p . dN_t + dz_t K_p, and g_t . N_t is a sum of the same S_p . g_t. Backwards in time, with
// the gradient R of the state after the chunk: that of the feature p of k_s is R_p . v_s + r_p, and dv_s = sum_p R_p
// times the feature.
#pragma once
#include "based_linear_attention/based_linear_attention_forward_isa.h"

namespace wkv::WKV_ISA {

template <class acc_t>
struct BasedBackwardScratch {
  BasedBackwardScratch(Arena& arena, int64_t d, int64_t values, int64_t length) : state(arena, d, values) {
    constexpr int64_t C = kBasedChunk;
    for (acc_t** elements : {&q, &k, &dx, &dz_dx}) *elements = arena.take<acc_t>((d + 1) * C);
    for (acc_t** features : {&q_features, &k_features, &products}) {
      *features = arena.take<acc_t>(based_largest_block(d) * C);
    }
    for (acc_t** rows : {&v, &g, &dv}) *rows = arena.take<acc_t>(C * state.columns);
    transposed = arena.take<acc_t>(values * C);
    for (acc_t** square : {&a, &ds, &m}) *square = arena.take<acc_t>(C * C);
    for (acc_t** row : {&z, &own, &dot}) *row = arena.take<acc_t>(C);
    for (acc_t** row : {&inverse, &dz, &mean}) *row = arena.take<acc_t>((length + C - 1) / C * C);
    buffer = arena.take<acc_t>(C * (padded<acc_t>(d) > state.columns ? padded<acc_t>(d) : state.columns));
  }
  BasedStateScratch<acc_t> state;             // S, then R
  acc_t *q, *k, *dx, *dz_dx;                  // [d + 1][token]
  acc_t *q_features, *k_features, *products;  // [features of a block][token]
  acc_t *v, *g, *dv;                          // [token][columns]
  acc_t* transposed;                          // g or v: [values][token]
  acc_t *a, *ds, *m;                          // [token][token]
  acc_t *z, *own, *dot;                       // [token] of the chunk: own = g_t . v_t, dot = g_t . N_t - z_t own_t
  acc_t *inverse, *dz, *mean;                 // [length]: 1 / (z + eps); dL/dz; -dL/dz - own / (z + eps)
  acc_t* buffer;
};

template <class io_t>
int64_t based_backward_scratch(const BasedInputs& in, int64_t length) {
  Arena arena(nullptr);
  BasedBackwardScratch<accumulate_t<io_t>>(arena, in.feature_size, in.value_size, length);
  return arena.used();
}

template <class io_t>
class BasedBackward {
 public:
  using acc_t = accumulate_t<io_t>;

  BasedBackward(const BasedInputs& in, const BasedSequence& sequence, const BasedGradients& grad, void* scratch)
      : in_(in),
        sequence_(sequence),
        grad_(grad),
        arena_(scratch),
        my_(arena_, in.feature_size, in.value_size, sequence.length) {}

  void run() {
    my_.state.load_state(sequence_.before, 0, BasedScales<acc_t>::to_packed(d));
    for (int64_t t = 0; t < T; t += C) query_gradients(t, T - t < C ? T - t : C);
    // dL/dS of the packed state from that of the full one, and back: the scales are the other way round.
    my_.state.load_state(grad_.after, 0, BasedScales<acc_t>::to_full(d));
    for (int64_t t = T > 0 ? (T - 1) / C * C : -1; t >= 0; t -= C) key_gradients(t, T - t < C ? T - t : C);
    my_.state.store_state(grad_.before, 0, BasedScales<acc_t>::to_packed(d));
  }

 private:
  static constexpr int64_t C = kBasedChunk;
  static constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;

  void load_chunk(const BasedRows& at, int64_t n) {
    load_elements(row_of<io_t>(in_.q, at.feature), feature_stride, n, d, scale, my_.buffer, my_.q);
    load_elements(row_of<io_t>(in_.k, at.feature), feature_stride, n, d, acc_t{1}, my_.buffer, my_.k);
    for (acc_t* dx : {my_.dx, my_.dz_dx}) {
      for (int64_t i = 0; i < d * C; ++i) dx[i] = 0;
    }
  }
  void multiply_features(const BasedBlock& block) {
    multiply_pairs(my_.q, d, block, acc_t{0.5}, my_.q_features);
    multiply_pairs(my_.k, d, block, acc_t{1}, my_.k_features);
  }
  void load_values(const void* from, const BasedRows& at, int64_t n, acc_t* rows) {
    for (int64_t i = 0; i < n; ++i) {
      load_row(row_of<io_t>(from, at.value + i * value_stride), values, rows + i * columns);
    }
  }

  // Sweep forwards: tokens t, ..., t + n - 1.
  void query_gradients(int64_t t, int64_t n) {
    const BasedRows at(in_, sequence_, t);
    load_chunk(at, n);
    load_values(in_.v, at, n, my_.v);
    load_transposed(row_of<io_t>(grad_.y, at.value), value_stride, n, values, acc_t{1}, my_.buffer, my_.transposed);
    const Matrix<acc_t> g{my_.transposed, C}, v{my_.v, columns};

    multiply<Into::kZero>(n, LeftFactor<acc_t>{my_.v, columns, 1}, g, values, C, Matrix<acc_t>{my_.m, C});
    for (int64_t i = 0; i < C; ++i) {
      my_.own[i] = i < n && in_.normalize ? my_.m[i * C + i] : 0;
      my_.z[i] = my_.dot[i] = 0;
    }
    // From before the chunk: z, g_t . N_t, and of the gradient of q_t what dN_t and what dz_t are multiplied with.
    BasedPrefetch<io_t> prefetch(in_, sequence_, t + C, in_.v, grad_.y);
    for_feature_blocks(d, [&](const BasedBlock& block) {
      const Matrix<acc_t> S{my_.state.kv + block.feature * columns, columns}, products{my_.products, C};
      acc_t* const K = my_.state.k + block.feature;
      prefetch();
      multiply_features(block);
      prefetch();
      multiply<Into::kZero>(block.count, LeftFactor<acc_t>{S.data, columns, 1}, g, values, C, products);
      prefetch();
      add_normaliser(my_.q_features, block.count, K, my_.z);
      for (int64_t c = 0; c < C; c += W) {
        V sum = load(my_.dot + c);
        for (int64_t p = 0; p < block.count; ++p) {
          sum = fma(load(my_.q_features + p * C + c), load(products[p] + c), sum);
        }
        store(my_.dot + c, sum);
      }
      multiply_pairs_backward(
          my_.q, d, block, acc_t{0.5}, [&](int64_t p, int64_t c) { return load(products[p] + c); }, my_.dx);
      multiply_pairs_backward(
          my_.q, d, block, acc_t{0.5}, [&](int64_t p, int64_t) { return broadcast(K[p]); }, my_.dz_dx);
      prefetch();
      add_over_tokens<acc_t>(my_.k_features, block.count, nullptr, K);
      multiply<Into::kSum>(block.count, LeftFactor<acc_t>{my_.k_features, C, 1}, v, n, columns, S);
    });
    for (int64_t c = 0; c < C; c += W) {
      store(my_.dot + c, load(my_.dot + c) - load(my_.z + c) * load(my_.own + c));
    }
    for_scores_of_keys(my_.q, my_.k, n, d, my_.a, [&](int64_t s, int64_t c, V x, auto seen) {
      const V a = seen ? fma(x, fma(x, broadcast(acc_t{0.5}), broadcast(acc_t{1})), broadcast(acc_t{1})) : V{};
      store(my_.z + c, load(my_.z + c) + a);
      const V product = load(my_.m + s * C + c) - load(my_.own + c);
      store(my_.m + s * C + c, product);
      store(my_.dot + c, seen ? fma(a, product, load(my_.dot + c)) : load(my_.dot + c));
    });

    acc_t *const inverse = my_.inverse + t, *const dz = my_.dz + t, *const mean = my_.mean + t;
    for (int64_t i = 0; i < C; ++i) {
      const bool divided = i < n && in_.normalize;
      const acc_t eps = static_cast<acc_t>(in_.eps), own = my_.own[i];
      inverse[i] = divided ? 1 / (my_.z[i] + eps) : 1;
      mean[i] = divided ? (my_.dot[i] - eps * own) * inverse[i] * inverse[i] : 0;
      dz[i] = -(mean[i] + own * inverse[i]);
    }
    for (int64_t i = 0; i < d; ++i) {
      for (int64_t c = 0; c < C; c += W) {
        acc_t* const dx = my_.dx + i * C + c;
        store(dx, fma(load(dx), load(inverse + c), load(my_.dz_dx + i * C + c) * load(dz + c)));
      }
    }
    for (int64_t s = 0; s < n; ++s) {
      for (int64_t c = 0; c < C; c += W) {
        const V x = load(my_.a + s * C + c), da = fma(load(my_.m + s * C + c), load(inverse + c), -load(mean + c));
        const auto seen = lane_numbers<acc_t>() >= broadcast(static_cast<acc_t>(s - c));
        store(my_.ds + s * C + c, seen ? fma(da, x, da) : V{});
      }
    }
    multiply<Into::kSum>(d, LeftFactor<acc_t>{my_.k, C, 1}, Matrix<acc_t>{my_.ds, C}, n, C, Matrix<acc_t>{my_.dx, C});
    for (int64_t i = 0; i < d * C; ++i) my_.dx[i] *= scale;
    store_transposed(my_.dx, n, d, my_.buffer, row_of<io_t>(grad_.q, at.feature), feature_stride);
  }

  // Sweep backwards.
  void key_gradients(int64_t t, int64_t n) {
    const BasedRows at(in_, sequence_, t);
    load_chunk(at, n);
    load_values(grad_.y, at, n, my_.g);
    load_transposed(row_of<io_t>(in_.v, at.value), value_stride, n, values, acc_t{1}, my_.buffer, my_.transposed);
    const acc_t *const inverse = my_.inverse + t, *const dz = my_.dz + t, *const mean = my_.mean + t;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < columns; j += W) {
        acc_t* const g = my_.g + i * columns + j;
        store(g, load(g) * broadcast(inverse[i]));
      }
    }
    const Matrix<acc_t> v{my_.transposed, C}, dN{my_.g, columns}, dv{my_.dv, columns};

    for (int64_t i = 0; i < n * columns; ++i) my_.dv[i] = 0;
    BasedPrefetch<io_t> prefetch(in_, sequence_, t - C, in_.v, grad_.y);
    for_feature_blocks(d, [&](const BasedBlock& block) {
      const Matrix<acc_t> R{my_.state.kv + block.feature * columns, columns}, products{my_.products, C};
      acc_t* const r = my_.state.k + block.feature;
      prefetch();
      multiply_features(block);
      prefetch();
      multiply<Into::kZero>(block.count, LeftFactor<acc_t>{R.data, columns, 1}, v, values, C, products);
      prefetch();
      multiply_pairs_backward(
          my_.k, d, block, acc_t{1}, [&](int64_t p, int64_t c) { return load(products[p] + c) + broadcast(r[p]); },
          my_.dx);
      multiply<Into::kSum>(n, LeftFactor<acc_t>{my_.k_features, 1, C}, R, block.count, columns, dv);
      prefetch();
      add_over_tokens<acc_t>(my_.q_features, block.count, dz, r);
      multiply<Into::kSum>(block.count, LeftFactor<acc_t>{my_.q_features, C, 1}, dN, n, columns, R);
    });

    // Within the chunk; rows are queries here, lanes are keys.
    multiply<Into::kZero>(n, LeftFactor<acc_t>{my_.g, columns, 1}, v, values, C, Matrix<acc_t>{my_.m, C});
    multiply<Into::kZero>(n, LeftFactor<acc_t>{my_.q, 1, C}, Matrix<acc_t>{my_.k, C}, d, C, Matrix<acc_t>{my_.a, C});
    for (int64_t i = 0; i < n; ++i) {
      const acc_t own = in_.normalize ? my_.m[i * C + i] : 0;
      for (int64_t c = 0; c < C; c += W) {
        const V x = load(my_.a + i * C + c), da = (load(my_.m + i * C + c) - broadcast(own)) - broadcast(mean[i]);
        const auto sees = lane_numbers<acc_t>() <= broadcast(static_cast<acc_t>(i - c));
        const V a = fma(x, fma(x, broadcast(acc_t{0.5}), broadcast(acc_t{1})), broadcast(acc_t{1}));
        store(my_.a + i * C + c, sees ? a : V{});
        store(my_.ds + i * C + c, sees ? fma(da, x, da) : V{});
      }
    }
    multiply<Into::kSum>(d, LeftFactor<acc_t>{my_.q, C, 1}, Matrix<acc_t>{my_.ds, C}, n, C, Matrix<acc_t>{my_.dx, C});
    multiply_band(n, LeftFactor<acc_t>{my_.a, 1, C}, dN, columns, dv, [n](int64_t s) { return Range{s, n}; });
    store_transposed(my_.dx, n, d, my_.buffer, row_of<io_t>(grad_.k, at.feature), feature_stride);
    for (int64_t i = 0; i < n; ++i) {
      store_row(dv[i], values, row_of<io_t>(grad_.v, at.value + i * value_stride));
    }
  }

  const BasedInputs in_;
  const BasedSequence sequence_;
  const BasedGradients grad_;
  Arena arena_;
  const BasedBackwardScratch<acc_t> my_;
  const int64_t d = in_.feature_size, T = sequence_.length, values = in_.value_size, columns = my_.state.columns,
                feature_stride = in_.heads * d, value_stride = in_.heads * values;
  const acc_t scale = static_cast<acc_t>(1 / __builtin_sqrt(static_cast<double>(d)));
};

template <class io_t>
void based_backward(const BasedInputs& in, const BasedSequence& sequence, const BasedGradients& grad, void* scratch) {
  BasedBackward<io_t>(in, sequence, grad, scratch).run();
}

}  // namespace wkv::WKV_ISA
