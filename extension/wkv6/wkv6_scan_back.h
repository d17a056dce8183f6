// The scan back over the tokens of a head: the gradients of wkv6, and of each direction of bi_wkv6. The lanes are keys
// here: all gradients but that of v are sums over the values, which then need no sums over lanes. A state is S[key /
// W][value][W], with W lanes: a sweep over the values of a vector of keys goes through memory in order.
//
// States are never reconstructed by dividing by a decay: the state before each segment of many tokens is kept, and the
// states before the blocks of four tokens of a segment are recomputed from it. With S before a block, G = dL/dS after
// it, g = dL/dy, B_lm = sum_j g_l v_m, P_l = d_0 ... d_{l-1}, Q_l = d_{l+1} ... d_3, E_lm = d_{m+1} ... d_{l-1}:
//   dr_l = P_l sum_j S g_l + sum_{m<l} B_lm E_lm k_m + B_ll u k_l,   du = sum_l B_ll r_l k_l,
//   dk_l = Q_l sum_j G v_l + sum_{m>l} B_ml E_ml r_m + B_ll u r_l,   dv_l = sum_i G k'_l + sum_{m>=l} A_ml g_m,
//   dlog d_l = D sum_j S G + sum_{m>l} r_m P_m sum_j S g_m + sum_{m<l} k_m Q_m sum_j G v_m
//              + sum_{m<l<n} B_nm k_m E_nm r_n,
//   G <- D G + sum_l r'_l g_l
// The sum of the decay's gradient is over all that passed through d_l, with no differences in it.
#pragma once
#include "wkv6/wkv6_block.h"

namespace wkv::WKV_ISA {

// The gradients of the rows of one token, summed, before they are rounded to the io dtype.
template <class acc_t>
struct Wkv6RowGradients {
  acc_t *r, *k, *w, *v;
};

// The state before the next block from that before this one; may be in place.
template <class acc_t, class Prefetch>
inline void wkv6_advance(const Wkv6Factors<acc_t>& f, int64_t M, int64_t rows, const acc_t* v, int64_t columns,
                         const acc_t* before, acc_t* after, const Prefetch& prefetch) {
  constexpr int W = kLanes<acc_t>, L = kWkv6Block, kVectors = kVectorBytes == 64 ? 4 : 2;
  using V = Vec<acc_t>;
  for_column_blocks<acc_t, kVectors>(rows, [&](int64_t i, auto vectors) {
    constexpr int C = decltype(vectors)::value;
    V k[L][C], d[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      d[c] = load(f.d + i + c * W);
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) k[l][c] = load(f.k[l] + i + c * W);
    }
    const acc_t* from = before + i * M;
    acc_t* to = after + i * M;
    for (int64_t j = 0; j < M; ++j, from += W, to += W) {
      if (i == 0) prefetch(j);
      V s[C];
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) s[c] = d[c] * load(from + c * M * W);
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) {
        const V value = broadcast(v[l * columns + j]);
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) s[c] = fma(k[l][c], value, s[c]);
      }
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) store(to + c * M * W, s[c]);
    }
  });
}

// Tokens whose states are kept at once: as many as fit a part of the second-level cache, or the root of the length.
template <class acc_t>
inline int64_t wkv6_segment(int64_t state, int64_t length) {
  constexpr int64_t kBytes = 1 << 20;
  int64_t segment = kBytes / (state * static_cast<int64_t>(sizeof(acc_t))) * kWkv6Block;
  if (segment < 16) segment = 16;
  while (segment * segment < length) segment += 16;
  const int64_t whole = (length + kWkv6Block - 1) / kWkv6Block * kWkv6Block;
  return segment < whole ? segment : whole;
}

template <class io_t>
class Wkv6ScanBack {
 public:
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;
  static constexpr int W = kLanes<acc_t>, L = kWkv6Block;
  static constexpr int64_t kSize = sizeof(io_t);

  Wkv6ScanBack(Arena& arena, const Wkv6Inputs& in, const Wkv6Sequence& sequence, const Wkv6Gradients& grad)
      : in_(in),
        sequence_(sequence),
        grad_(grad),
        w_size_(in.decay.float_w ? sizeof(float) : sizeof(io_t)),
        token_(in, sequence, false),
        N(in.key_size),
        M(in.value_size),
        T(sequence.length),
        rows_(padded<acc_t>(N)),
        columns_(padded<acc_t>(M)),
        state_(M * rows_),
        segment_(wkv6_segment<acc_t>(state_, T)),
        constants_(arena, N),
        factors_(arena.take<Wkv6Factors<acc_t>>(1)),
        checkpoints_(arena.take<acc_t>((segment_ ? (T + segment_ - 1) / segment_ : 1) * state_)),
        states_(arena.take<acc_t>(segment_ / L * state_)),
        G_(arena.take<acc_t>(state_)),
        d_(arena.take<acc_t>(segment_ * rows_)),
        slope_(arena.take<acc_t>(segment_ * rows_)),
        Sg_(arena.take<acc_t>(L * rows_)),
        Gv_(arena.take<acc_t>(L * rows_)),
        SG_(arena.take<acc_t>(rows_)),
        du_(arena.take<acc_t>(rows_)),
        v_(arena.take<acc_t>(L * columns_)),
        g_(arena.take<acc_t>(L * columns_)),
        row_grad_{arena.take<acc_t>(L * rows_), arena.take<acc_t>(L * rows_), arena.take<acc_t>(L * rows_),
                  arena.take<acc_t>(L * columns_)} {}

  // Calls emit(row of the token, Wkv6RowGradients of it) for each token, the last of the scan first. grad_state:
  // dL/d(state after), or null; with_u: the outputs have the term of u.
  template <class Emit>
  void run(bool from_right, const void* grad_state, bool with_u, const Emit& emit) {
    token_ = Wkv6Rows(in_, sequence_, from_right);
    constants_.fill(in_, sequence_.head, with_u);
    for (int64_t i = 0; i < rows_; ++i) du_[i] = 0;
    load_state(grad_state, G_);
    if (T == 0) return;
    load_state(sequence_.state_before, checkpoints_);
    const int64_t segments = (T + segment_ - 1) / segment_;
    for (int64_t s = 0; s + 1 < segments; ++s) {
      const acc_t* before = checkpoints_ + s * state_;
      acc_t* const after = checkpoints_ + (s + 1) * state_;
      for (int64_t t = 0; t < segment_; t += L, before = after) advance<false>(s * segment_, t, before, after);
    }
    for (int64_t s = segments - 1; s >= 0; --s) {
      const int64_t begin = s * segment_, length = T - begin < segment_ ? T - begin : segment_;
      const int64_t last = (length - 1) / L * L;
      const acc_t* const checkpoint = checkpoints_ + s * state_;
      for (int64_t t = 0; t < last; t += L) advance<true>(begin, t, before(t, checkpoint), states_ + t / L * state_);
      load_decays<true>(begin, last);
      for (int64_t t = last; t >= 0; t -= L) back(begin, t, before(t, checkpoint), emit);
    }
  }

  const acc_t* u() const { return du_; }  // the gradient of u, after a run with it
  void store_state_gradient(void* to) const {
    for (int64_t j = 0; j < M; ++j) {
      for (int64_t i = 0; i < N; i += W) store_part(row_of<acc_t>(to, j * N), load(G_ + i * M + j * W), i, N);
    }
  }

 private:
  // The state before token t of the present segment.
  const acc_t* before(int64_t t, const acc_t* checkpoint) const {
    return t > 0 ? states_ + (t / L - 1) * state_ : checkpoint;
  }
  void load_state(const void* from, acc_t* to) const {
    for (int64_t j = 0; j < M; ++j) {
      for (int64_t i = 0; i < N; i += W) {
        store(to + i * M + j * W, from ? load_part(row_of<acc_t>(from, j * N), i, N) : V{});
      }
    }
  }

  // The decays of the four tokens from t on, of the segment from `begin` on; kept with their slopes, or without.
  template <bool kKeep>
  void load_decays(int64_t begin, int64_t t) const {
    if (in_.constant_decay) return;
    for (int64_t l = 0; l < L && begin + t + l < T; ++l) {
      const int64_t key = token_(begin + t + l) * N;
      if constexpr (kKeep) {
        load_log_decay<io_t>(in_.decay, key, N, d_ + (t + l) * rows_, slope_ + (t + l) * rows_);
      } else {
        load_decay<io_t>(in_.decay, key, N, d_ + l * rows_);
      }
    }
  }
  Wkv6Tokens<io_t> tokens(int64_t begin, int64_t t, const acc_t* d) const {
    return wkv6_tokens<io_t>(in_, token_, begin + t, constants_, d, rows_);
  }
  // Rows of values of the four tokens from t of the scan on, zeros beyond the end, as the accumulation type.
  void load_values(const void* tensor, int64_t t, acc_t* to) const {
    for (int64_t l = 0; l < L; ++l) {
      if (t + l < T) {
        load_row(row_of<io_t>(tensor, token_(t + l) * M), M, to + l * columns_);
      } else {
        for (int64_t j = 0; j < columns_; ++j) to[l * columns_ + j] = 0;
      }
    }
  }

  // The state after the four tokens from t on of the segment from `begin` on.
  template <bool kKeep>
  void advance(int64_t begin, int64_t t, const acc_t* before, acc_t* after) const {
    RowPrefetch<3 * L, 4> prefetch;
    for (int64_t l = 0; l < L; ++l) {
      const int64_t row = token_(begin + t + L + l);
      prefetch.add(in_.k, row * N * kSize, N * kSize);
      prefetch.add(in_.v, row * M * kSize, M * kSize);
      prefetch.add(in_.decay.w, (in_.constant_decay ? sequence_.head : row) * N * w_size_, N * w_size_);
    }
    prefetch.rest(M);
    load_decays<kKeep>(begin, t);
    load_values(in_.v, begin + t, v_);
    wkv6_factors<false>(tokens(begin, t, kKeep ? d_ + t * rows_ : d_), constants_.u, N, *factors_);
    wkv6_advance(*factors_, M, rows_, v_, columns_, before, after, prefetch);
  }

  // Back through the four tokens from t on of the segment; S is the state before them.
  template <class Emit>
  void back(int64_t begin, int64_t t, const acc_t* S, const Emit& emit) {
    RowPrefetch<8 * L, 2> prefetch;
    for (int64_t l = 0; l < L; ++l) {
      const int64_t row = token_(begin + t - 1 - l), keys = row * N, values = row * M;
      for (const void* tensor : {in_.r, in_.k, static_cast<const void*>(grad_.r), static_cast<const void*>(grad_.k)})
        prefetch.add(tensor, keys * kSize, N * kSize);
      prefetch.add(grad_.w, keys * w_size_, N * w_size_);
      for (const void* tensor : {in_.v, grad_.y, static_cast<const void*>(grad_.v)})
        prefetch.add(tensor, values * kSize, M * kSize);
    }
    prefetch.rest(M);
    const Wkv6Tokens<io_t> x = tokens(begin, t, d_ + t * rows_);
    load_values(in_.v, begin + t, v_);
    load_values(grad_.y, begin + t, g_);
    wkv6_factors<true>(x, constants_.u, N, *factors_);
    acc_t pairs[L * L];  // B
    pair_values(pairs);
    for (int64_t j = 0; j < M; j += W) sweep(j, M - j < W ? M - j : W, S, prefetch);
    gather(x, slope_ + t * rows_, pairs);
    for (int64_t l = 0; l < L && begin + t + l < T; ++l) {
      emit(token_(begin + t + l), Wkv6RowGradients<acc_t>{row_grad_.r + l * rows_, row_grad_.k + l * rows_,
                                                          row_grad_.w + l * rows_, row_grad_.v + l * columns_});
    }
  }

  void pair_values(acc_t* pairs) const {
    V sums[L * L] = {};
    for (int64_t j = 0; j < M; j += W) {
      V v[L];
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) {
        v[l] = load(v_ + l * columns_ + j);
        const V g = load(g_ + l * columns_ + j);
#pragma GCC unroll 4
        for (int m = 0; m <= l; ++m) sums[wkv6_pair(l, m)] = fma(g, v[m], sums[wkv6_pair(l, m)]);
      }
    }
    store_pairs<acc_t>(sums, pairs);
  }

  // The values first, ..., first + count - 1 (of one vector): their part of the sums over values, dv, and G of the
  // block before.
  template <class Prefetch>
  void sweep(int64_t first, int64_t count, const acc_t* state, const Prefetch& prefetch) {
    const Wkv6Factors<acc_t>& f = *factors_;
    const int64_t columns = columns_;
    const acc_t *const g_rows = g_ + first, *const v_rows = v_ + first;
    V dv[L][W];
    for (int64_t i = 0; i < rows_; i += W) {
      V r[L], k[L], Sg[L] = {}, Gv[L] = {}, SG = {};
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) {
        r[l] = load(f.r[l] + i);
        k[l] = load(f.k[l] + i);
        if (first > 0) Sg[l] = load(Sg_ + l * rows_ + i), Gv[l] = load(Gv_ + l * rows_ + i);
      }
      if (first > 0) SG = load(SG_ + i);
      const V d = load(f.d + i);
      const acc_t* S = state + i * M + first * W;
      acc_t* G = G_ + i * M + first * W;
      const auto values = [&](auto is_first_key) {
        for (int64_t n = 0; n < count; ++n, S += W, G += W) {
          if constexpr (is_first_key) prefetch(first + n);
          const V s = load(S), gradient = load(G);
          SG = fma(s, gradient, SG);
          V next = d * gradient;
#pragma GCC unroll 4
          for (int l = 0; l < L; ++l) {
            const V g = broadcast(g_rows[l * columns + n]), v = broadcast(v_rows[l * columns + n]);
            Sg[l] = fma(s, g, Sg[l]);
            Gv[l] = fma(gradient, v, Gv[l]);
            dv[l][n] = is_first_key ? gradient * k[l] : fma(gradient, k[l], dv[l][n]);
            next = fma(r[l], g, next);
          }
          store(G, next);
        }
      };
      if (i == 0) {
        values(std::true_type());
      } else {
        values(std::false_type());
      }
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) {
        store(Sg_ + l * rows_ + i, Sg[l]);
        store(Gv_ + l * rows_ + i, Gv[l]);
      }
      store(SG_ + i, SG);
    }
    for (int l = 0; l < L; ++l) {
      for (int64_t n = count; n < W; ++n) dv[l][n] = V{};
    }
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) {
      V sum = sums_of_rows(dv[l]);
#pragma GCC unroll 4
      for (int m = l; m < L; ++m) {
        sum = fma(broadcast(f.pairs[wkv6_pair(m, l)]), load(g_ + m * columns_ + first), sum);
      }
      store(row_grad_.v + l * columns_ + first, sum);
    }
  }

  // The gradients of the keys' rows from the sums over values.
  void gather(const Wkv6Tokens<io_t>& x, const acc_t* slopes, const acc_t* pairs) {
    for (int64_t i = 0; i < N; i += W) {
      V r[L], k[L], d[L], dr[L], dk[L], dlog[L];
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) {
        r[l] = load_part(x.r[l], i, N);
        k[l] = load_part(x.k[l], i, N);
        d[l] = load(x.d[l] + i);
      }
      V product = d[0];  // P
      dr[0] = load(Sg_ + i);
#pragma GCC unroll 4
      for (int l = 1; l < L; ++l) {
        dr[l] = product * load(Sg_ + l * rows_ + i);
        product *= d[l];
      }
      const V through = product * load(SG_ + i);
      dk[L - 1] = load(Gv_ + (L - 1) * rows_ + i);
      product = d[L - 1];  // Q
#pragma GCC unroll 4
      for (int l = L - 2; l >= 0; --l) {
        dk[l] = product * load(Gv_ + l * rows_ + i);
        product *= d[l];
      }
      V sum = through;
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) {
        dlog[l] = sum;
        sum = fma(k[l], dk[l], sum);
      }
      sum = V{};
#pragma GCC unroll 4
      for (int l = L - 1; l >= 0; --l) {
        dlog[l] += sum;
        sum = fma(r[l], dr[l], sum);
      }
      const V bonus = load(constants_.u + i);
      V du = load(du_ + i);
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) {
        const V own = broadcast(pairs[wkv6_pair(l, l)]);
        du = fma(own * r[l], k[l], du);
        dr[l] = fma(own * bonus, k[l], dr[l]);
        dk[l] = fma(own * bonus, r[l], dk[l]);
        V between = broadcast(acc_t{1});
#pragma GCC unroll 4
        for (int m = l - 1; m >= 0; --m) {
          const V pair = between * broadcast(pairs[wkv6_pair(l, m)]);
          dr[l] = fma(pair, k[m], dr[l]);
          dk[m] = fma(pair, r[l], dk[m]);
          const V both = pair * r[l] * k[m];
#pragma GCC unroll 4
          for (int n = m + 1; n < l; ++n) dlog[n] += both;
          between *= d[m];
        }
      }
      store(du_ + i, du);
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) {
        const V slope = load((in_.constant_decay ? constants_.slope : slopes + l * rows_) + i);
        store(row_grad_.r + l * rows_ + i, dr[l]);
        store(row_grad_.k + l * rows_ + i, dk[l]);
        store(row_grad_.w + l * rows_ + i, slope * dlog[l]);
      }
    }
  }

  const Wkv6Inputs& in_;
  const Wkv6Sequence sequence_;
  const Wkv6Gradients grad_;
  const int64_t w_size_;  // bytes of an element of w
  Wkv6Rows token_;
  const int64_t N, M, T, rows_, columns_;  // the latter: N and M, padded
  const int64_t state_;                    // elements of a state
  const int64_t segment_;                  // tokens of a segment
  const Wkv6Constants<io_t> constants_;
  Wkv6Factors<acc_t>* const factors_;
  acc_t* const checkpoints_;                // [segments][state]: the state before each segment
  acc_t* const states_;                     // [segment / L][state]: the state after each block of the segment
  acc_t* const G_;                          // [value][rows]
  acc_t *const d_, *const slope_;           // [segment][rows]
  acc_t *const Sg_, *const Gv_;             // [L][rows]: sum_j S g_l, sum_j G v_l
  acc_t *const SG_, *const du_;             // [rows]: sum_j S G
  acc_t *const v_, *const g_;               // [L][columns]
  const Wkv6RowGradients<acc_t> row_grad_;  // [L][rows], v: [L][columns]
};

// The gradients of a token's rows to the tensors; that of a constant decay is no row.
template <class io_t, class acc_t = accumulate_t<io_t>>
inline void store_row_gradients(const Wkv6Inputs& in, const Wkv6Gradients& to, int64_t row,
                                const Wkv6RowGradients<acc_t>& x) {
  const int64_t N = in.key_size, M = in.value_size;
  store_row(x.r, N, row_of<io_t>(to.r, row * N));
  store_row(x.k, N, row_of<io_t>(to.k, row * N));
  store_row(x.v, M, row_of<io_t>(to.v, row * M));
  if (in.constant_decay) return;
  if (!in.decay.float_w) {
    store_row(x.w, N, row_of<io_t>(to.w, row * N));
  } else {
    for (int64_t i = 0; i < N; ++i) row_of<float>(to.w, row * N)[i] = static_cast<float>(x.w[i]);
  }
}

}  // namespace wkv::WKV_ISA
