// One token of wkv6 with the key along the lanes: the rows of the state [value, key] are read and written where they
// are, once. What decoding, in place or not, is made of.
#pragma once
#include "core/simd/decay.h"
#include "wkv6/wkv6.h"

namespace wkv::WKV_ISA {

// Row `row` of the inputs [rows, ...], of head `head`, and the values first_value, ..., last_value - 1. State before
// (null: zeros) to state after, which may be the same.
template <class io_t>
void wkv6_one_token(const Wkv6Inputs& in, int64_t row, int64_t head, int64_t first_value, int64_t last_value,
                    const void* before, void* after, void* y) {
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;
  constexpr int W = kLanes<acc_t>, kMaxVectors = kWkv6MaxHeadSize / W;
  const int64_t N = in.key_size, M = in.value_size;
  alignas(64) acc_t d_row[kWkv6MaxHeadSize], u_row[kWkv6MaxHeadSize], v_row[kWkv6MaxHeadSize], y_row[kWkv6MaxHeadSize];
  load_decay<io_t>(in.decay, (in.constant_decay ? head : row) * N, N, d_row);
  if (in.float_u) {
    load_float_row(row_of<float>(in.u, head * N), N, u_row);
  } else {
    load_row(row_of<io_t>(in.u, head * N), N, u_row);
  }
  load_row(row_of<io_t>(in.v, row * M), M, v_row);

  V r[kMaxVectors], k[kMaxVectors], d[kMaxVectors], own = {};
  for (int64_t i = 0, n = 0; i < N; i += W, ++n) {
    r[n] = load_part(row_of<io_t>(in.r, row * N), i, N);
    k[n] = load_part(row_of<io_t>(in.k, row * N), i, N);
    d[n] = load(d_row + i);
    own = fma(r[n] * load(u_row + i), k[n], own);
  }
  acc_t bonus = 0;
  for (int lane = 0; lane < W; ++lane) bonus += own[lane];

  const auto* from = static_cast<const acc_t*>(before) + (before ? first_value * N : 0);
  auto* to = static_cast<acc_t*>(after) + first_value * N;
  for (int64_t first = first_value; first < last_value; first += W) {
    const int64_t count = last_value - first < W ? last_value - first : W;
    V products[W] = {};
    for (int64_t j = 0; j < count; ++j, to += N) {
      const V v = broadcast(v_row[first + j]);
      V sum = {};
      for (int64_t i = 0, n = 0; i < N; i += W, ++n) {
        const V s = before ? load_part(from, i, N) : V{};
        sum = fma(r[n], s, sum);
        store_part(to, fma(k[n], v, d[n] * s), i, N);
      }
      if (before) from += N;
      products[j] = sum;
    }
    store(y_row + first, fma(broadcast(bonus), load(v_row + first), sums_of_rows(products)));
  }
  store_row(y_row + first_value, last_value - first_value, row_of<io_t>(y, row * M + first_value));
}

}  // namespace wkv::WKV_ISA
