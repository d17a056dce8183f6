// A chunk of L = 16 tokens of wkv7 as products of matrices, for the chunked kernels. See wkv7.h.
//
// With P_t the product of the factors of the chunk's tokens up to t and D_st that of the tokens after s up to t:
//   A~_t = P_{t-1} a_t,  R~_t = P_t r_t,  K~_s = D_sL k_s,  B~_s = D_sL b_s              [16, key]
//   Aab_ts = sum_i a_t D_s(t-1) b_s,  Aak with k  (s < t),  Arb_ts = sum_i r_t D_st b_s,  Ark with k  (s <= t)
//   SA = T (A~ S^T + Aak V),  T = 1 / (1 - Aab);   Y = R~ S^T + Ark V + Arb SA
//   S <- S P_L + V^T K~ + SA^T B~
// P and D are running products: nothing is divided by a decay, no exponent is positive, factors of 0 and 1 are exact.
#pragma once
#include "core/cuda/warp_tile.cuh"
#include "wkv7/wkv7_tile.cuh"

namespace wkv::cuda {

inline constexpr int kWkv7MostChunkedSize = 128;

// A head runs as one of kSize keys and as many values, 32, 64 or 128; what is beyond its sizes is zero. A warp has 16
// values, a row of a state's keys for each.
template <class io_t, int kSize>
struct Wkv7Chunk {
  static constexpr int kThreads = 2 * kSize;
  static constexpr bool kExact = std::is_same_v<io_t, float>;
  using Tile = Wkv7Tile<io_t, kSize, kWkv7Chunk>;
  static constexpr int kStride = Tile::kStride, kRows = Tile::kRows;  // of [16, kSize] in shared memory
  static constexpr int kMatrixStride = 20, kMatrix = kWkv7Chunk * kMatrixStride;
  using State = WarpTile<kSize / 8>;  // 16 values, kSize keys
  using Values = WarpTile<2>;         // 16 values, 16 tokens

  struct Matrices {
    float *Aab, *Aak, *Arb, *Ark, *T;  // [16][kMatrixStride]

    __device__ explicit Matrices(float* shared)
        : Aab(shared), Aak(Aab + kMatrix), Arb(Aak + kMatrix), Ark(Arb + kMatrix), T(Ark + kMatrix) {}
    // What is above the diagonals stays zero.
    __device__ void clear() const {
      for (int i = thread(); i < 5 * kMatrix; i += kThreads) Aab[i] = 0;
    }
  };
  static constexpr int kMatrices = 5 * kMatrix;

  __device__ static int thread() { return static_cast<int>(threadIdx.x); }
  // The first of this warp's values.
  __device__ static int first_value() { return thread() / 32 * 16; }

  // Values of 16 tokens, v or dL/dy; as Wkv7Tile's for the keys.
  static constexpr int kRawValues = kWkv7Chunk * kSize;  // elements
  __device__ static void fetch_values(io_t* raw, const void* values, const Wkv7Head& head, int64_t first, int tokens) {
    fetch_rows<kSize>(raw, static_cast<const io_t*>(values) + head.values(first), head.heads * head.value_size, tokens,
                      static_cast<int>(head.value_size));
  }
  __device__ static void take_values(float* to, const io_t* raw, const Wkv7Head& head, int tokens) {
    for (int i = thread(); i < kRawValues; i += kThreads) {
      const bool inside = i / kSize < tokens && i % kSize < head.value_size;
      to[i / kSize * kStride + i % kSize] = inside ? static_cast<float>(raw[i]) : 0;
    }
  }

  // The lower triangles of Aab, Aak, Arb and Ark. A thread has two tokens s, a late and an early one, which together
  // make 17 steps for any thread, and four keys.
  __device__ static void multiply_pairs(const Tile& x, const Matrices& to) {
    constexpr int kLanes = kSize / 4;
    const int pair = thread() / kLanes, lane = thread() % kLanes, key = 4 * lane;
    const auto keys = [&](const float* rows, int token) { return load_vector(rows + token * kStride + key); };
    Wkv7Vector<float> k{}, b{};  // of token s, decayed
    for (int step = 0; step <= kWkv7Chunk; ++step) {
      const bool early = step < kWkv7Chunk - pair;
      const int s = early ? pair : kWkv7Chunk - 1 - pair, t = early ? pair + step : step - 1;
      float ab = 0, ak = 0, rb = 0, rk = 0;
      if (t == s) {
        k = keys(x.k, s);
        b = keys(x.b, s);
      } else {
        const Wkv7Vector<float> a = keys(x.a, t), d = keys(x.d, t);
        for (int c = 0; c < 4; ++c) {
          ab += a.value[c] * b.value[c];
          ak += a.value[c] * k.value[c];
          b.value[c] *= d.value[c];
          k.value[c] *= d.value[c];
        }
      }
      const Wkv7Vector<float> r = keys(x.r, t);
      for (int c = 0; c < 4; ++c) {
        rb += r.value[c] * b.value[c];
        rk += r.value[c] * k.value[c];
      }
      // The sums over the lanes, each in a lane of its own: what a lane keeps, its neighbour gives.
      const bool second = lane % 2, third = lane / 2 % 2;
      const float of_b = (second ? rb : ab) + __shfl_xor_sync(~0u, second ? ab : rb, 1);
      const float of_k = (second ? rk : ak) + __shfl_xor_sync(~0u, second ? ak : rk, 1);
      float sum = (third ? of_k : of_b) + __shfl_xor_sync(~0u, third ? of_b : of_k, 2);
      for (int lanes = 4; lanes < kLanes; lanes *= 2) sum += __shfl_xor_sync(~0u, sum, lanes);
      float* const matrix = second ? (third ? to.Ark : to.Arb) : (third ? to.Aak : to.Aab);
      if (lane < 4) matrix[t * kMatrixStride + s] = sum;
    }
  }

  // By one warp: a lane has a column of T.
  __device__ static void invert(const Matrices& matrices) {
    const int column = thread() % kWkv7Chunk;
    float x[kWkv7Chunk];
#pragma unroll
    for (int t = 0; t < kWkv7Chunk; ++t) {
      x[t] = t == column ? 1.0f : 0.0f;
#pragma unroll
      for (int s = 0; s < t; ++s) x[t] += matrices.Aab[t * kMatrixStride + s] * x[s];
      if (thread() < kWkv7Chunk) matrices.T[t * kMatrixStride + column] = x[t];
    }
  }

  // R~, A~, K~, B~ and P_L. The rows may be written in place.
  __device__ static void decay_rows(const Tile& x, float* r, float* a, float* k, float* b, float* end) {
    const int key = thread() % kSize;
    float product = 1;
    if (thread() < kSize) {
      for (int at = key; at < kRows; at += kStride) {
        a[at] = x.a[at] * product;
        product *= x.d[at];
        r[at] = x.r[at] * product;
      }
      end[key] = product;
    } else {
      for (int at = kRows - kStride + key; at >= 0; at -= kStride) {
        k[at] = x.k[at] * product;
        b[at] = x.b[at] * product;
        product *= x.d[at];
      }
    }
  }

  // For products: rows [16][kStride] or matrices, or their transposes, as functions of a row and a column.
  __device__ static auto rows(const float* x) {
    return [=](int row, int column) { return x[row * kStride + column]; };
  }
  __device__ static auto transposed_rows(const float* x, int first_row = 0) {
    return [=](int row, int column) { return x[column * kStride + first_row + row]; };
  }
  __device__ static auto matrix(const float* x) {
    return [=](int row, int column) { return x[row * kMatrixStride + column]; };
  }
  __device__ static auto transposed_matrix(const float* x) {
    return [=](int row, int column) { return x[column * kMatrixStride + row]; };
  }

  // Products of a state with two arrays of rows that lie one behind the other, in one pass over the state.
  using TwoValues = WarpTile<4>;
  __device__ static TwoValues multiply_by_rows(const State& state, const float* two_rows) {
    TwoValues products;
    products.clear();
    products.template add_product<kExact>(state, transposed_rows(two_rows));
    return products;
  }
  __device__ static Values part(const TwoValues& values, int which) {
    Values one;
#pragma unroll
    for (int t = 0; t < 2; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) one.value[t][i] = values.value[2 * which + t][i];
    }
    return one;
  }

  // SA^T, of this warp's values, from S A~^T.
  __device__ static Values solve(const Matrices& matrices, const float* v, Values state_product) {
    Values sa;
    sa.clear();
    state_product.template add_product<kExact>(kWkv7Chunk, transposed_rows(v, first_value()),
                                               transposed_matrix(matrices.Aak));
    sa.template add_product<kExact>(state_product, transposed_matrix(matrices.T));
    return sa;
  }

  // S P_L, or the same of its gradient.
  __device__ static void scale_keys(State& state, const float* factors) {
    state.for_each([&](int, int key, float& s) { s *= factors[key]; });
  }

  // A state in memory, [value, key], from and to the warps.
  __device__ static void load_state(State& state, const Wkv7Head& head, const float* from) {
    state.for_each([&](int row, int key, float& s) {
      const int64_t j = first_value() + row;
      s = from && j < head.value_size && key < head.key_size ? from[j * head.key_size + key] : 0;
    });
  }
  __device__ static void store_state(State& state, const Wkv7Head& head, float* to) {
    state.for_each([&](int row, int key, float& s) {
      const int64_t j = first_value() + row;
      if (j < head.value_size && key < head.key_size) to[j * head.key_size + key] = s;
    });
  }
  // Rows of the chunk's first tokens, from the warps.
  __device__ static void store_values(Values& values, const Wkv7Head& head, int64_t first, int tokens, void* to) {
    values.for_each([&](int row, int t, float& x) {
      const int64_t j = first_value() + row;
      if (j < head.value_size && t < tokens) static_cast<io_t*>(to)[head.values(first + t) + j] = static_cast<io_t>(x);
    });
  }
};

}  // namespace wkv::cuda
