// sliding_window_attention on the GPU, for any head size and fp64: a warp for a query, or for a key, whose rows the
// lanes share. Keys that a query does not see are not read.
// Cost of a token of a head that sees W keys: W reads of a key and a value, from the caches; backward three times that.
#pragma once
#include "sliding_window_attention/sliding_window_attention_rows.cuh"

namespace wkv::cuda {

inline constexpr int kWindowWarps = 8;  // of a block; and the rows of a tile

// At most 256 elements, of which lane i has i, i + 32, ...; elements from the size on are 0.
template <class acc_t>
struct LaneRow {
  static constexpr int kElements = 8;
  acc_t element[kElements] = {};

  template <class Element>  // (c) -> acc_t, for c < size
  __device__ static LaneRow of(int size, const Element& value) {
    LaneRow row;
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      const int c = static_cast<int>(threadIdx.x % 32) + 32 * i;
      if (c < size) row.element[i] = value(c);
    }
    return row;
  }
  template <class io_t>
  __device__ static LaneRow load(const io_t* from, int size) {
    return of(size, [&](int c) { return static_cast<acc_t>(from[c]); });
  }
  template <class io_t>
  __device__ void store(io_t* to, int size) const {
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      const int c = static_cast<int>(threadIdx.x % 32) + 32 * i;
      if (c < size) to[c] = static_cast<io_t>(element[i]);
    }
  }
  __device__ void scale(acc_t factor) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) element[i] *= factor;
  }
  __device__ void add(acc_t factor, const LaneRow& row) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) element[i] += factor * row.element[i];
  }
  __device__ acc_t dot(const LaneRow& row) const {
    acc_t sum = 0;
#pragma unroll
    for (int i = 0; i < kElements; ++i) sum += element[i] * row.element[i];
    return warp_sum(sum);
  }
};

// Calls use(head, n) for the row n of this warp, if there is one.
template <class io_t, class Use>
__device__ void for_window_row(const WindowCall<io_t>& call, int64_t past, const Use& use) {
  const auto [row, first] = WindowTiles{kWindowWarps, past}(call.sequences, blockIdx.x / call.heads);
  const WindowHead<io_t> head(call, row, blockIdx.x % call.heads);
  const int64_t n = first + threadIdx.x / 32;
  if (n < past + head.sequence.length) use(head, n);
}

template <class io_t, class acc_t = accumulate_t<io_t>>
__global__ void window_forward_simple_kernel(WindowCall<io_t> call, io_t* y) {
  using Row = LaneRow<acc_t>;
  for_window_row(call, 0, [&](const WindowHead<io_t>& head, int64_t t) {
    const int64_t at = head.token(t) * call.size, n = call.past + t;
    Row q = Row::load(call.q + at, call.size), result;
    q.scale(static_cast<acc_t>(call.scale));
    WindowHighest<acc_t> highest;
    acc_t sum = 0;
    for (int64_t key = head.first_seen(n); key <= n; ++key) {
      const acc_t score = q.dot(Row::load(head.key(key), call.size)), factor = highest.raise(score),
                  p = exponential(score - highest.base());
      sum = sum * factor + p;
      result.scale(factor);
      result.add(p, Row::load(head.value(key), call.size));
    }
    result.scale(1 / sum);
    result.store(y + at, call.size);
  });
}

template <class io_t, class acc_t = accumulate_t<io_t>>
__global__ void window_query_gradients_simple_kernel(WindowCall<io_t> call, WindowGradients<io_t> grad,
                                                     WindowSums<acc_t> sums) {
  using Row = LaneRow<acc_t>;
  for_window_row(call, 0, [&](const WindowHead<io_t>& head, int64_t t) {
    const int64_t at = head.token(t) * call.size, n = call.past + t;
    const Row g = Row::load(grad.y + at, call.size);
    Row q = Row::load(call.q + at, call.size), result;
    q.scale(static_cast<acc_t>(call.scale));
    WindowHighest<acc_t> highest;
    acc_t sum = 0, mean = 0;
    for (int64_t key = head.first_seen(n); key <= n; ++key) {
      const acc_t score = q.dot(Row::load(head.key(key), call.size)), factor = highest.raise(score),
                  p = exponential(score - highest.base());
      sum = sum * factor + p;
      mean = mean * factor + p * g.dot(Row::load(head.value(key), call.size));
    }
    const acc_t inverse = 1 / sum;
    mean *= inverse;
    for (int64_t key = head.first_seen(n); key <= n; ++key) {
      const Row k = Row::load(head.key(key), call.size);
      const acc_t p = exponential(q.dot(k) - highest.base()) * inverse;
      result.add(p * (g.dot(Row::load(head.value(key), call.size)) - mean), k);
    }
    result.scale(static_cast<acc_t>(call.scale));
    result.store(grad.q + at, call.size);
    if (threadIdx.x % 32 == 0) {
      sums.highest[head.token(t)] = highest.base();
      sums.inverse[head.token(t)] = inverse;
      sums.mean[head.token(t)] = mean;
    }
  });
}

template <class io_t, class acc_t = accumulate_t<io_t>>
__global__ void window_key_gradients_simple_kernel(WindowCall<io_t> call, WindowGradients<io_t> grad,
                                                   WindowSums<acc_t> sums) {
  using Row = LaneRow<acc_t>;
  for_window_row(call, call.past, [&](const WindowHead<io_t>& head, int64_t n) {
    Row dk = Row::of(call.size, [&](int c) { return grad.template of_window<acc_t>(head, grad.window_k, n, c); }),
        dv = Row::of(call.size, [&](int c) { return grad.template of_window<acc_t>(head, grad.window_v, n, c); });
    if (n >= head.first_real) {
      const Row k = Row::load(head.key(n), call.size), v = Row::load(head.value(n), call.size);
      const int64_t first = n > call.past ? n : call.past,
                    end = n + call.keys_back + 1 < head.rows ? n + call.keys_back + 1 : head.rows;
      for (int64_t query = first; query < end; ++query) {
        const int64_t token = head.token(query - call.past);
        Row q = Row::load(call.q + token * call.size, call.size);
        q.scale(static_cast<acc_t>(call.scale));
        const Row g = Row::load(grad.y + token * call.size, call.size);
        const acc_t p = exponential(q.dot(k) - sums.highest[token]) * sums.inverse[token];
        dv.add(p, g);
        dk.add(p * (g.dot(v) - sums.mean[token]), q);
      }
    }
    dk.store(head.at(n, grad.past_k, grad.k), call.size);
    dv.store(head.at(n, grad.past_v, grad.v), call.size);
  });
}

}  // namespace wkv::cuda
