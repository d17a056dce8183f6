// Matrix products of a warp on tensor cores, in tf32 or, exact as fp32, in three tf32 products of split operands.
//
// A WarpTile is 16 rows x 8 * kTiles columns of fp32 in the registers of the 32 lanes (the accumulators of m16n8k8).
// Operands are functions (row, column) -> float of what lies in shared memory or registers; rows and columns of the
// right operand are (k, n). A tile can itself be the left operand, without a move between lanes.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

// x rounded to the 10 bits of mantissa that tensor cores read, half away from zero.
__device__ inline float round_to_tf32(float x) {
#ifdef __CUDACC__
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return __uint_as_float(bits);
#else
  if (!std::isfinite(x)) return x;
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits = (bits + 0x1000u) & ~0x1fffu;
  std::memcpy(&x, &bits, 4);
  return x;
#endif
}

// d += a b for a [16, 8] and b [8, 8], tf32 values; lane 4 g + q holds
//   a: (g, q), (g + 8, q), (g, q + 4), (g + 8, q + 4)     b: (q, g), (q + 4, g)
//   d: (g, 2 q), (g, 2 q + 1), (g + 8, 2 q), (g + 8, 2 q + 1).
__device__ inline void mma_16x8x8(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
#ifdef __CUDACC__
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#else
  const float mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  const char* const all = cuda_on_host::exchange(mine, sizeof(mine));
  const auto value = [&](int lane, int i) {
    float x;
    std::memcpy(&x, all + 64 * lane + 4 * i, 4);
    return x;
  };
  const int g = cuda_on_host::here().lane / 4, q = cuda_on_host::here().lane % 4;
  for (int row = 0; row < 2; ++row) {
    for (int column = 0; column < 2; ++column) {
      float sum = 0;
      for (int k = 0; k < 8; ++k) {
        sum += value(4 * g + k % 4, row + k / 4 * 2) * value(4 * (2 * q + column) + k % 4, 4 + k / 4);
      }
      d[2 * row + column] += sum;
    }
  }
#endif
}

// Values as tensor cores take them: rounded, and what the rounding left.
template <int n>
struct Tf32 {
  float high[n], low[n];

  __device__ explicit Tf32(const float (&x)[n]) {
    for (int i = 0; i < n; ++i) {
      high[i] = round_to_tf32(x[i]);
      low[i] = round_to_tf32(x[i] - high[i]);
    }
  }
};

// d += a b. kExact: with fp32's accuracy; else with that of operands of 10 bits.
template <bool kExact>
__device__ inline void multiply_add(float (&d)[4], const Tf32<4>& a, const Tf32<2>& b) {
  if constexpr (kExact) {
    mma_16x8x8(d, a.low, b.high);
    mma_16x8x8(d, a.high, b.low);
  }
  mma_16x8x8(d, a.high, b.high);
}

template <int kTiles>
struct WarpTile {
  float value[kTiles][4];

  // The row and the column of this lane's value i of tile t.
  __device__ static int row(int i) { return lane() / 4 + i / 2 * 8; }
  __device__ static int column(int t, int i) { return 8 * t + lane() % 4 * 2 + i % 2; }

  template <class Function>  // (row, column, float& value)
  __device__ void for_each(const Function& function) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) function(row(i), column(t, i), value[t][i]);
    }
  }
  __device__ void clear() {
    for_each([](int, int, float& x) { x = 0; });
  }

  // *this += left right; left [16, depth], right [depth, 8 * kTiles], depth a multiple of 8.
  template <bool kExact, class Left, class Right>
  __device__ void add_product(int depth, const Left& left, const Right& right) {
    const int g = lane() / 4, q = lane() % 4;
    for (int k = 0; k < depth; k += 8) {
      const Tf32<4> a({left(g, k + q), left(g + 8, k + q), left(g, k + q + 4), left(g + 8, k + q + 4)});
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        multiply_add<kExact>(value[t], a, Tf32<2>({right(k + q, 8 * t + g), right(k + q + 4, 8 * t + g)}));
      }
    }
  }
  // *this += left right; left [16, 8 * kDepthTiles] in registers.
  template <bool kExact, int kDepthTiles, class Right>
  __device__ void add_product(const WarpTile<kDepthTiles>& left, const Right& right) {
    const int g = lane() / 4, q = lane() % 4;
#pragma unroll
    for (int k = 0; k < kDepthTiles; ++k) {
      // A sum over k may be taken in any order: slot q of the instruction is column 2 q, slot q + 4 column 2 q + 1.
      const float(&c)[4] = left.value[k];
      const Tf32<4> a({c[0], c[2], c[1], c[3]});
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        multiply_add<kExact>(value[t], a,
                             Tf32<2>({right(8 * k + 2 * q, 8 * t + g), right(8 * k + 2 * q + 1, 8 * t + g)}));
      }
    }
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x % 32); }
};

}  // namespace wkv::cuda
