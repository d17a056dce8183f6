// The forward of wkv7 for sequences of one token, as in decoding: with the keys along the lanes, rows of the state are
// read and written where they are, while a longer sequence's is transposed first. The sums over the keys are taken of
// as many rows at once as a vector has lanes.
#pragma once
#include "wkv7/wkv7_forward_isa.h"

namespace wkv::WKV_ISA {

// R rows of the state [R][N]: their products with a, to be summed over the lanes. kWhole: N is a number of whole
// vectors.
template <int R, bool kWhole, class acc_t>
inline void multiply_rows(const acc_t* a, const acc_t* state, int64_t N, Vec<acc_t>* products) {
  Vec<acc_t> sum[R] = {};
  for (int64_t n = 0; n < N; n += kLanes<acc_t>) {
    for (int i = 0; i < R; ++i) {
      const acc_t* row = state + i * N;
      sum[i] = fma(load(a + n), kWhole ? load(row + n) : load_part(row, n, N), sum[i]);
    }
  }
  for (int i = 0; i < R; ++i) products[i] = sum[i];
}

// R rows of the state: before -> after (may be the same), and their products with r.
template <int R, bool kWhole, class acc_t>
inline void step_rows(const Wkv7Token<acc_t>& x, const acc_t* v, const acc_t* sa, const acc_t* before, acc_t* after,
                      int64_t N, Vec<acc_t>* products) {
  Vec<acc_t> sum[R] = {};
  for (int64_t n = 0; n < N; n += kLanes<acc_t>) {
    const Vec<acc_t> d = load(x.d + n), k = load(x.k + n), b = load(x.b + n), r = load(x.r + n);
    for (int i = 0; i < R; ++i) {
      const acc_t* row = before + i * N;
      const Vec<acc_t> old = kWhole ? load(row + n) : load_part(row, n, N);
      const Vec<acc_t> state = fma(b, broadcast(sa[i]), fma(k, broadcast(v[i]), d * old));
      if constexpr (kWhole) {
        store(after + i * N + n, state);
      } else {
        store_part(after + i * N, state, n, N);
      }
      sum[i] = fma(r, state, sum[i]);
    }
  }
  for (int i = 0; i < R; ++i) products[i] = sum[i];
}

template <bool kWhole, class io_t>
void wkv7_one_token_of(const Wkv7Inputs& in, const Wkv7Sequence& sequence, const Wkv7Outputs& out, const Wkv7Part& part,
                       void* scratch) {
  using acc_t = accumulate_t<io_t>;
  constexpr int W = kLanes<acc_t>, kTogether = W < 4 ? W : 4;  // rows that share the loads of the token
  const int64_t N = in.key_size, values = part.last_value - part.first_value;
  const Wkv7Rows at(in, sequence, 0);
  Arena arena(scratch);
  Wkv7ForwardScratch<acc_t> my(arena, N, values);
  acc_t* const a = my.a_next;
  load_decay<io_t>(in.decay, at.key, N, my.d);
  load_row(row_of<io_t>(in.k, at.key), N, my.k);
  load_row(row_of<io_t>(in.b, at.key), N, my.b);
  load_row(row_of<io_t>(in.r, at.key), N, my.r);
  load_row(row_of<io_t>(in.a, at.key), N, a);
  load_row(row_of<io_t>(in.v, at.value + part.first_value), values, my.v);

  acc_t* const after = row_of<acc_t>(out.state_after, part.first_value * N);
  const acc_t* before = after;
  if (sequence.state_before) {
    before = row_of<acc_t>(sequence.state_before, part.first_value * N);
  } else {
    for (int64_t i = 0; i < values * N; ++i) after[i] = 0;
  }
  const Wkv7Token<acc_t> x{.d = my.d, .k = my.k, .b = my.b, .r = my.r};
  for (int64_t j = 0; j < values; j += W) {
    const int64_t rows = values - j < W ? values - j : W;
    const auto for_rows = [&](const auto& visit) {
      int64_t i = 0;
      for (; i + kTogether <= rows; i += kTogether) visit(i, std::integral_constant<int, kTogether>());
      for (; i < rows; ++i) visit(i, std::integral_constant<int, 1>());
    };
    Vec<acc_t> products[W] = {};
    for_rows(
        [&](int64_t i, auto together) { multiply_rows<together, kWhole>(a, before + (j + i) * N, N, products + i); });
    store(my.sa + j, sums_of_rows(products));
    for_rows([&](int64_t i, auto together) {
      const int64_t row = j + i;
      step_rows<together, kWhole>(x, my.v + row, my.sa + row, before + row * N, after + row * N, N, products + i);
    });
    store(my.y + j, sums_of_rows(products));
  }
  store_row(my.y, values, row_of<io_t>(out.y, at.value + part.first_value));
}

template <class io_t>
void wkv7_one_token(const Wkv7Inputs& in, const Wkv7Sequence& sequence, const Wkv7Outputs& out, const Wkv7Part& part,
                    void* scratch) {
  const bool whole = in.key_size % kLanes<accumulate_t<io_t>> == 0;
  (whole ? wkv7_one_token_of<true, io_t> : wkv7_one_token_of<false, io_t>)(in, sequence, out, part, scratch);
}

}  // namespace wkv::WKV_ISA
