// sliding_window_attention on the GPU's tensor cores, for head sizes up to 128: the forward and the gradients.
//
// A block takes 64 queries (or, for their gradients, keys) of a head, 16 to each of 4 warps, past the keys (queries)
// that they see (that see them), 32 at a time. Scores and probabilities stay in the warp's registers, where they are
// the left operand of the product with the values. Backward, each query's sums over its keys are computed once more,
// then kept for the keys: no two blocks add to the same gradient. Products are exact for fp32, of 10 bits for the rest.
// Cost of a token of a head that sees W keys, with D = the head size rounded up: 4 (W + 47) D flops forward, and 18
// backward.
#pragma once
#include "core/cuda/warp_tile.cuh"
#include "sliding_window_attention/sliding_window_attention_rows.cuh"

namespace wkv::cuda {

inline constexpr int kWindowTile = 64, kWindowTileThreads = 128;  // rows that are the block's; threads
inline constexpr int kWindowStep = 32;                            // rows that they meet at a time

// Shared memory: rows of fp32, 8 * kTiles of them used, in strides that keep the loads of operands from sharing banks.
// What else there is lies at the ends of the rows: so head size 128 fits where a block has 99 KiB.
template <int kTiles>
struct WindowTileMemory {
  static constexpr int kColumns = 8 * kTiles, kStride = kColumns + 4;
  static constexpr int64_t bytes(int64_t own_matrices) {
    return 4 * (own_matrices * kWindowTile + 2 * kWindowStep) * kStride;
  }

  float* own[2];      // [kWindowTile][kStride]
  float* met[2];      // [kWindowStep][kStride]
  int* has_infinite;  // whether a value was not finite

  __device__ explicit WindowTileMemory(int own_matrices) {
    auto* at = reinterpret_cast<float*>(shared_memory());
    const auto take = [&](int count) { return (at += count) - count; };
    for (int i = 0; i < 2; ++i) own[i] = i < own_matrices ? take(kWindowTile * kStride) : nullptr;
    for (int i = 0; i < 2; ++i) met[i] = take(kWindowStep * kStride);
    has_infinite = reinterpret_cast<int*>(own[0] + kColumns);
  }

  // Of a query that is met.
  __device__ float& highest(int query) const { return met[0][query * kStride + kColumns]; }
  __device__ float& inverse(int query) const { return met[0][query * kStride + kColumns + 1]; }
  __device__ float& mean(int query) const { return met[0][query * kStride + kColumns + 2]; }

  // Operands: the warp's 16 rows of own[i]; met[i], transposed and as it is.
  __device__ auto own_rows(int i) const {
    return [rows = own[i] + threadIdx.x / 32 * 16 * kStride](int r, int k) { return rows[r * kStride + k]; };
  }
  __device__ auto met_transposed(int i) const {
    return [rows = met[i]](int k, int n) { return rows[n * kStride + k]; };
  }
  __device__ auto met_rows(int i) const {
    return [rows = met[i]](int k, int n) { return rows[k * kStride + n]; };
  }
};

// row(i), i < count, of `size` elements each, times `scale`, into rows of shared memory; zeros in what is left of
// `all` rows. Whether what this thread has loaded is finite.
template <int kTiles, class Row>
__device__ bool load_window_rows(int all, int64_t count, int size, float scale, float* to, const Row& row) {
  using Memory = WindowTileMemory<kTiles>;
  bool finite = true;
  for (int i = threadIdx.x; i < all * Memory::kColumns; i += kWindowTileThreads) {
    const int r = i / Memory::kColumns, c = i % Memory::kColumns;
    const float x = r < count && c < size ? static_cast<float>(row(r)[c]) * scale : 0.0f;
    finite = finite && x - x == 0;
    to[r * Memory::kStride + c] = x;
  }
  return finite;
}

using WindowScores = WarpTile<kWindowStep / 8>;

// The queries of a block: 16 to a warp, from the row `n` of the warp's first on.
template <class io_t, int kTiles>
struct WindowQueryTile {
  static constexpr bool kExact = std::is_same_v<io_t, float>;

  const WindowHead<io_t>& head;
  const WindowTileMemory<kTiles>& memory;
  int64_t first, n;

  __device__ WindowQueryTile(const WindowHead<io_t>& head_, const WindowTileMemory<kTiles>& memory_, int64_t first_)
      : head(head_), memory(memory_), first(first_), n(head.call.past + first + threadIdx.x / 32 * 16) {}

  __device__ int64_t count() const { return head.sequence.length - first; }
  __device__ void load_own(int i, const io_t* tokens, float scale) const {
    load_window_rows<kTiles>(kWindowTile, count(), head.call.size, scale, memory.own[i],
                             [&](int r) { return tokens + head.token(first + r) * head.call.size; });
  }
  // Query n + r sees key + c.
  __device__ bool sees(int r, int64_t key, int c) const {
    const int64_t distance = n + r - key - c;
    return distance >= 0 && distance <= head.call.keys_back;
  }

  // Calls use(key) in warps of which a query may see one of the keys key, ..., key + kWindowStep - 1, whose rows are in
  // met[0] and values in met[1].
  template <class Use>
  __device__ void for_keys(const Use& use) const {
    const int64_t row = head.call.past + first, last = row + kWindowTile < head.rows ? row + kWindowTile : head.rows;
    for (int64_t key = head.first_seen(row); key < last; key += kWindowStep) {
      __syncthreads();  // the keys before have been read
      load_window_rows<kTiles>(kWindowStep, last - key, head.call.size, 1, memory.met[0],
                               [&](int r) { return head.key(key + r); });
      if (!load_window_rows<kTiles>(kWindowStep, last - key, head.call.size, 1, memory.met[1],
                                    [&](int r) { return head.value(key + r); })) {
        *memory.has_infinite = 1;
      }
      __syncthreads();
      if (n < head.rows && key <= n + 15 && key + kWindowStep > n - head.call.keys_back) use(key);
    }
  }
  // The warp's own[i] times the keys, or values, met[i].
  __device__ WindowScores products(int i) const {
    WindowScores scores;
    scores.clear();
    scores.template add_product<kExact>(8 * kTiles, memory.own_rows(i), memory.met_transposed(i));
    return scores;
  }
  // What the queries store.
  __device__ void store(const WarpTile<kTiles>& tile, const float (&factor)[2], io_t* tokens) const {
    const int64_t left = head.rows - n;
    const int size = head.call.size;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int r = tile.row(i), c = tile.column(t, i);
        if (r < left && c < size) {
          tokens[head.token(n + r - head.call.past) * size + c] = static_cast<io_t>(tile.value[t][i] * factor[i / 2]);
        }
      }
    }
  }
};

// The softmax of the two rows of a lane; sums are of the lane's columns, those of the rows are of four lanes.
struct WindowSoftmax {
  WindowHighest<float> highest[2];
  float sum[2] = {0, 0};
  float factor[2];  // of what was summed before the last scores

  // The scores become p relative to the highest so far.
  template <class Sees>
  __device__ void exponentiate(WindowScores& scores, const Sees& sees) {
    float top[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int tile = 0; tile < kWindowStep / 8; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float x = scores.value[tile][i];
        if (sees(scores.row(i), scores.column(tile, i)) && x > top[i / 2]) top[i / 2] = x;
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      factor[half] = highest[half].raise(warp_max<4>(top[half]));
      sum[half] *= factor[half];
    }
#pragma unroll
    for (int tile = 0; tile < kWindowStep / 8; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& x = scores.value[tile][i];
        const bool seen = sees(scores.row(i), scores.column(tile, i));
        x = seen ? exponential(x - highest[i / 2].base()) : 0;
        sum[i / 2] += x;
      }
    }
  }
};

template <class io_t, int kTiles>
__global__ void __launch_bounds__(kWindowTileThreads) window_forward_tiled_kernel(WindowCall<io_t> call, io_t* y) {
  const auto [row, first] = WindowTiles{kWindowTile, 0}(call.sequences, blockIdx.x / call.heads);
  const WindowHead<io_t> head(call, row, blockIdx.x % call.heads);
  if (first >= head.sequence.length) return;
  const WindowTileMemory<kTiles> memory(1);
  const WindowQueryTile<io_t, kTiles> queries(head, memory, first);
  queries.load_own(0, call.q, static_cast<float>(call.scale));
  if (threadIdx.x == 0) *memory.has_infinite = 0;

  WindowSoftmax softmax;
  WarpTile<kTiles> result;
  result.clear();
  queries.for_keys([&](int64_t key) {
    WindowScores p = queries.products(0);
    softmax.exponentiate(p, [&](int r, int c) { return queries.sees(r, key, c); });
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) result.value[t][i] *= softmax.factor[i / 2];
    }
    // The product meets values that a query does not see with p = 0: that they be not finite must not matter.
    const auto value = memory.met_rows(1);
    result.template add_product<queries.kExact>(p, [&](int k, int n) {
      const float x = value(k, n);
      return x - x == 0 ? x : 0.0f;
    });
    if (!*memory.has_infinite) return;
    result.for_each([&](int r, int c, float& sum) {
      for (int k = 0; k < kWindowStep; ++k) {
        const float x = value(k, c);
        if (x - x != 0 && queries.sees(r, key, k)) sum += x;
      }
    });
  });
  float inverse[2];
  for (int half = 0; half < 2; ++half) inverse[half] = 1 / warp_sum<4>(softmax.sum[half]);
  queries.store(result, inverse, y);
}

template <class io_t, int kTiles>
__global__ void __launch_bounds__(kWindowTileThreads)
    window_query_gradients_tiled_kernel(WindowCall<io_t> call, WindowGradients<io_t> grad, WindowSums<float> sums) {
  const auto [row, first] = WindowTiles{kWindowTile, 0}(call.sequences, blockIdx.x / call.heads);
  const WindowHead<io_t> head(call, row, blockIdx.x % call.heads);
  if (first >= head.sequence.length) return;
  const WindowTileMemory<kTiles> memory(2);
  const WindowQueryTile<io_t, kTiles> queries(head, memory, first);
  const float scale = static_cast<float>(call.scale);
  queries.load_own(0, call.q, scale);
  queries.load_own(1, grad.y, 1);

  WindowSoftmax softmax;
  float mean[2] = {0, 0};
  queries.for_keys([&](int64_t key) {
    const auto sees = [&](int r, int c) { return queries.sees(r, key, c); };
    WindowScores p = queries.products(0);
    const WindowScores m = queries.products(1);
    softmax.exponentiate(p, sees);
#pragma unroll
    for (int half = 0; half < 2; ++half) mean[half] *= softmax.factor[half];
#pragma unroll
    for (int t = 0; t < kWindowStep / 8; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (sees(p.row(i), p.column(t, i))) mean[i / 2] += p.value[t][i] * m.value[t][i];
      }
    }
  });
  float inverse[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    inverse[half] = 1 / warp_sum<4>(softmax.sum[half]);
    mean[half] = warp_sum<4>(mean[half]) * inverse[half];
    const int64_t query = queries.n + WindowScores::row(2 * half);
    if (threadIdx.x % 4 == 0 && query < head.rows) {
      const int64_t token = head.token(query - call.past);
      sums.highest[token] = softmax.highest[half].base();
      sums.inverse[token] = inverse[half];
      sums.mean[token] = mean[half];
    }
  }

  WarpTile<kTiles> dq;
  dq.clear();
  queries.for_keys([&](int64_t key) {
    WindowScores ds = queries.products(0);
    const WindowScores m = queries.products(1);
#pragma unroll
    for (int t = 0; t < kWindowStep / 8; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& x = ds.value[t][i];
        const float p = exponential(x - softmax.highest[i / 2].base()) * inverse[i / 2];
        x = queries.sees(ds.row(i), key, ds.column(t, i)) ? p * (m.value[t][i] - mean[i / 2]) : 0;
      }
    }
    dq.template add_product<queries.kExact>(ds, memory.met_rows(0));
  });
  queries.store(dq, {scale, scale}, grad.q);
}

// Of the rows of keys and values, 64 to a block; they meet queries.
template <class io_t, int kTiles>
__global__ void __launch_bounds__(kWindowTileThreads)
    window_key_gradients_tiled_kernel(WindowCall<io_t> call, WindowGradients<io_t> grad, WindowSums<float> sums) {
  constexpr bool kExact = std::is_same_v<io_t, float>;
  const auto [row, first] = WindowTiles{kWindowTile, call.past}(call.sequences, blockIdx.x / call.heads);
  const WindowHead<io_t> head(call, row, blockIdx.x % call.heads);
  if (first >= head.rows) return;
  const WindowTileMemory<kTiles> memory(2);
  // Rows that are not real may hold anything.
  const auto own = [&](int64_t n) { return n < head.first_real ? head.first_real : n; };
  const bool any_real = head.first_real < head.rows;
  const int64_t count = any_real ? head.rows - first : 0, n = first + threadIdx.x / 32 * 16;
  load_window_rows<kTiles>(kWindowTile, count, call.size, 1, memory.own[0],
                           [&](int r) { return head.key(own(first + r)); });
  load_window_rows<kTiles>(kWindowTile, count, call.size, 1, memory.own[1],
                           [&](int r) { return head.value(own(first + r)); });

  WarpTile<kTiles> dk, dv;
  dk.clear();
  dv.clear();
  const int64_t last_seen = first + kWindowTile + call.keys_back, end = last_seen < head.rows ? last_seen : head.rows;
  for (int64_t query = first > call.past ? first : call.past; query < end; query += kWindowStep) {
    const auto token = [&](int r) { return head.token(query + r - call.past); };
    __syncthreads();  // the queries before have been read
    load_window_rows<kTiles>(kWindowStep, end - query, call.size, static_cast<float>(call.scale), memory.met[0],
                             [&](int r) { return call.q + token(r) * call.size; });
    load_window_rows<kTiles>(kWindowStep, end - query, call.size, 1, memory.met[1],
                             [&](int r) { return grad.y + token(r) * call.size; });
    const int c = threadIdx.x;
    if (c < kWindowStep) {
      memory.highest(c) = query + c < end ? sums.highest[token(c)] : 0;
      memory.inverse(c) = query + c < end ? sums.inverse[token(c)] : 0;
      memory.mean(c) = query + c < end ? sums.mean[token(c)] : 0;
    }
    __syncthreads();
    if (n >= head.rows || query + kWindowStep <= n || query > n + 15 + call.keys_back) continue;

    WindowScores p, ds;  // [key][query]
    p.clear();
    ds.clear();
    p.template add_product<kExact>(8 * kTiles, memory.own_rows(0), memory.met_transposed(0));
    ds.template add_product<kExact>(8 * kTiles, memory.own_rows(1), memory.met_transposed(1));
#pragma unroll
    for (int t = 0; t < kWindowStep / 8; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = p.column(t, i);
        const int64_t key = n + p.row(i), distance = query + column - key;
        const bool seen = distance >= 0 && distance <= call.keys_back && key >= head.first_real && query + column < end;
        const float x = exponential(p.value[t][i] - memory.highest(column)) * memory.inverse(column);
        p.value[t][i] = seen ? x : 0;
        ds.value[t][i] = seen ? x * (ds.value[t][i] - memory.mean(column)) : 0;
      }
    }
    dk.template add_product<kExact>(ds, memory.met_rows(0));
    dv.template add_product<kExact>(p, memory.met_rows(1));
  }

  const auto store = [&](WarpTile<kTiles>& sum, const io_t* window, io_t* past, io_t* tokens) {
    sum.for_each([&](int r, int c, float& x) {
      if (n + r >= head.rows || c >= call.size) return;
      head.at(n + r, past, tokens)[c] = static_cast<io_t>(x + grad.template of_window<float>(head, window, n + r, c));
    });
  };
  store(dk, grad.window_k, grad.past_k, grad.k);
  store(dv, grad.window_v, grad.past_v, grad.v);
}

}  // namespace wkv::cuda
