// Four tokens of a scan: where their rows are, and the factors by which they act on the state (wkv6.h). What forward,
// backward and both directions of bi_wkv6 share. To be included by *_isa.cpp files only.
#pragma once
#include "core/arena.h"
#include "core/simd/decay.h"
#include "core/simd/prefetch.h"
#include "wkv6/wkv6.h"

namespace wkv::WKV_ISA {

// The rows of the tokens of a sequence in the order of a scan.
struct Wkv6Rows {
  int64_t first_token, length, head, heads;
  bool from_right;

  Wkv6Rows(const Wkv6Inputs& in, const Wkv6Sequence& sequence, bool scan_from_right)
      : first_token(sequence.first_token),
        length(sequence.length),
        head(sequence.head),
        heads(in.heads),
        from_right(scan_from_right) {}
  // The row of the t-th token of the scan; of the last, beyond it, and of the first, before it.
  int64_t operator()(int64_t t) const {
    const int64_t step = t < 0 ? 0 : t < length ? t : length - 1;
    return (first_token + (from_right ? length - 1 - step : step)) * heads + head;
  }
};

// The rows of four tokens; those of tokens beyond the end of the sequence do nothing: zeros, a decay of 1.
template <class io_t>
struct Wkv6Tokens {
  const io_t *r[kWkv6Block], *k[kWkv6Block];
  const accumulate_t<io_t>* d[kWkv6Block];
};

template <class acc_t>
struct Wkv6Factors {
  acc_t r[kWkv6Block][kWkv6MaxHeadSize], k[kWkv6Block][kWkv6MaxHeadSize], d[kWkv6MaxHeadSize];  // r', k', D
  acc_t pairs[kWkv6Block * kWkv6Block];                                                         // A, at wkv6_pair(l, m)
};

inline constexpr int kWkv6Pairs = kWkv6Block * (kWkv6Block + 1) / 2;
constexpr int wkv6_pair(int l, int m) { return l * (l + 1) / 2 + m; }

// The sums over the lanes of the pairs' vectors.
template <class acc_t>
inline void store_pairs(const Vec<acc_t> (&sums)[kWkv6Block * kWkv6Block], acc_t* pairs) {
  for (int i = 0; i < kWkv6Pairs; i += kLanes<acc_t>) store(pairs + i, sums_of_rows(sums + i));
}

// What is the same for all tokens of a task: u, a constant decay, rows for the tokens beyond the end.
template <class io_t>
struct Wkv6Constants {
  using acc_t = accumulate_t<io_t>;

  Wkv6Constants(Arena& arena, int64_t key_size) {
    u = arena.take<acc_t>(padded<acc_t>(key_size));
    d = arena.take<acc_t>(padded<acc_t>(key_size));
    slope = arena.take<acc_t>(padded<acc_t>(key_size));
    ones = arena.take<acc_t>(padded<acc_t>(key_size));
    for (acc_t*& row : kept) row = arena.take<acc_t>(padded<acc_t>(key_size));
    for (acc_t*& row : added) row = arena.take<acc_t>(padded<acc_t>(key_size));
    zeros = arena.take<io_t>(kWkv6MaxHeadSize);
  }
  void fill(const Wkv6Inputs& in, int64_t head, bool with_u) const {
    const int64_t N = in.key_size;
    for (int64_t i = 0; i < kWkv6MaxHeadSize; ++i) zeros[i] = io_t{};
    for (int64_t i = 0; i < padded<acc_t>(N); ++i) ones[i] = 1, u[i] = 0;
    if (with_u && in.float_u) {
      load_float_row(row_of<float>(in.u, head * N), N, u);
    } else if (with_u) {
      load_row(row_of<io_t>(in.u, head * N), N, u);
    }
    if (!in.constant_decay) return;
    load_log_decay<io_t>(in.decay, head * N, N, d, slope);
    for (int l = 0; l < kWkv6Block; ++l) load_decay_power<io_t>(in.decay, head * N, N, l + 1, kept[l], added[l]);
  }
  acc_t *u, *d, *slope, *ones;                  // [key]
  acc_t *kept[kWkv6Block], *added[kWkv6Block];  // [key]: a constant decay over 1, ..., 4 tokens (load_decay_power)
  io_t* zeros;                                  // [kWkv6MaxHeadSize]
};

// The tokens begin, ..., begin + 3 of the scan, with their decays at `d`, or constant.
template <class io_t>
inline Wkv6Tokens<io_t> wkv6_tokens(const Wkv6Inputs& in, const Wkv6Rows& rows, int64_t begin,
                                    const Wkv6Constants<io_t>& constants, const accumulate_t<io_t>* d,
                                    int64_t d_stride) {
  Wkv6Tokens<io_t> x;
  for (int l = 0; l < kWkv6Block; ++l) {
    if (begin + l < rows.length) {
      const int64_t key = rows(begin + l) * in.key_size;
      x.r[l] = row_of<io_t>(in.r, key);
      x.k[l] = row_of<io_t>(in.k, key);
      x.d[l] = in.constant_decay ? constants.d : d + l * d_stride;
    } else {
      x.r[l] = x.k[l] = constants.zeros;
      x.d[l] = constants.ones;
    }
  }
  return x;
}

// kReads: also r' and A, which only outputs need.
template <bool kReads, class io_t, class acc_t = accumulate_t<io_t>>
inline void wkv6_factors(const Wkv6Tokens<io_t>& x, const acc_t* u, int64_t N, Wkv6Factors<acc_t>& f) {
  using V = Vec<acc_t>;
  constexpr int L = kWkv6Block;
  V pairs[L * L] = {};
  for (int64_t i = 0; i < N; i += kLanes<acc_t>) {
    V k[L], d[L];
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) {
      k[l] = load_part(x.k[l], i, N);
      d[l] = load(x.d[l] + i);
    }
    if constexpr (kReads) {
      const V bonus = load(u + i);
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) {
        V r = load_part(x.r[l], i, N);
        pairs[wkv6_pair(l, l)] = fma(r * bonus, k[l], pairs[wkv6_pair(l, l)]);
#pragma GCC unroll 4
        for (int m = l - 1; m >= 0; --m) {
          pairs[wkv6_pair(l, m)] = fma(r, k[m], pairs[wkv6_pair(l, m)]);
          r *= d[m];
        }
        store(f.r[l] + i, r);
      }
    }
    V all = d[L - 1];
    store(f.k[L - 1] + i, k[L - 1]);
#pragma GCC unroll 4
    for (int l = L - 2; l >= 0; --l) {
      store(f.k[l] + i, k[l] * all);
      all *= d[l];
    }
    store(f.d + i, all);
  }
  if constexpr (kReads) store_pairs<acc_t>(pairs, f.pairs);
}

}  // namespace wkv::WKV_ISA
