// The decode step of wkv6 of one instruction set; compiled once for each (scripts/cmake/InstructionSets.cmake).
#include "core/simd/decay.h"
#include "wkv6/wkv6_decode.h"

namespace wkv::WKV_ISA {
namespace {

template <class io_t>
void wkv6_decode_step(const Wkv6Inputs& in, int64_t row, int64_t head, void* state, void* y) {
  using acc_t = accumulate_t<io_t>;
  using V = Vec<acc_t>;
  constexpr int W = kLanes<acc_t>, kMaxVectors = kWkv6MaxHeadSize / W;
  const int64_t N = in.key_size, M = in.value_size, token = row * in.heads + head;
  const io_t *const r_row = row_of<io_t>(in.r, token * N), *const k_row = row_of<io_t>(in.k, token * N);
  alignas(64) acc_t d_row[kWkv6MaxHeadSize], u_row[kWkv6MaxHeadSize], v_row[kWkv6MaxHeadSize], sums[kWkv6MaxHeadSize];
  load_decay<io_t>(in.decay, (in.constant_decay ? head : token) * N, N, d_row);
  if (in.float_u) {
    load_float_row(row_of<float>(in.u, head * N), N, u_row);
  } else {
    load_row(row_of<io_t>(in.u, head * N), N, u_row);
  }
  load_row(row_of<io_t>(in.v, token * M), M, v_row);

  V r[kMaxVectors], k[kMaxVectors], d[kMaxVectors], own = {};
  for (int64_t i = 0, n = 0; i < N; i += W, ++n) {
    r[n] = load_part(r_row, i, N);
    k[n] = load_part(k_row, i, N);
    d[n] = load(d_row + i);
    own = fma(r[n] * load(u_row + i), k[n], own);
  }
  acc_t bonus = 0;
  for (int lane = 0; lane < W; ++lane) bonus += own[lane];

  auto* S = static_cast<acc_t*>(state);
  const int64_t whole = N / W, rest = N % W;
  for (int64_t j0 = 0; j0 < M; j0 += W) {
    V products[W] = {};
    for (int64_t j = j0; j < M && j < j0 + W; ++j, S += N) {
      const V v = broadcast(v_row[j]);
      V sum = {};
      for (int64_t n = 0; n < whole; ++n) {
        const V s = load(S + n * W);
        sum = fma(r[n], s, sum);
        store(S + n * W, fma(k[n], v, d[n] * s));
      }
      if (rest) {
        const V s = load_first(S + whole * W, rest);
        sum = fma(r[whole], s, sum);
        store_first(S + whole * W, fma(k[whole], v, d[whole] * s), rest);
      }
      products[j - j0] = sum;
    }
    store(sums + j0, fma(broadcast(bonus), load(v_row + j0), sums_of_rows(products)));
  }
  store_row(sums, M, row_of<io_t>(y, token * M));
}

}  // namespace

extern const Wkv6DecodeKernelTable wkv6_decode_kernels = {
    {{wkv6_decode_step<float>}, {wkv6_decode_step<double>}, {wkv6_decode_step<BFloat16>}, {wkv6_decode_step<Half>}}};

}  // namespace wkv::WKV_ISA
