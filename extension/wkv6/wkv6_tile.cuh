// 16 rows x 8 * kTiles columns in the registers of a warp, of fp32 on tensor cores or of fp64.
#pragma once
#include "core/cuda/warp_tile.cuh"

namespace wkv::cuda {

// WarpTile's layout and functions in fp64, on the CUDA cores.
template <int kTiles>
struct DoubleTile {
  double value[kTiles][4];

  __device__ static int row(int i) { return WarpTile<kTiles>::row(i); }
  __device__ static int column(int t, int i) { return WarpTile<kTiles>::column(t, i); }
  template <class Function>  // (row, column, double& value)
  __device__ void for_each(const Function& function) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) function(row(i), column(t, i), value[t][i]);
    }
  }
  __device__ void clear() {
    for_each([](int, int, double& x) { x = 0; });
  }
  template <bool kExact, class Left, class Right>
  __device__ void add_product(int depth, const Left& left, const Right& right) {
    for (int k = 0; k < depth; ++k) {
      for_each([&](int r, int c, double& x) { x += left(r, k) * right(k, c); });
    }
  }
  template <bool kExact, int kDepthTiles, class Right>
  __device__ void add_product(const DoubleTile<kDepthTiles>& left, const Right& right) {
#pragma unroll
    for (int t = 0; t < kDepthTiles; ++t) {
      for (int k = 0; k < 8; ++k) {  // lane k / 2 of the four that share the rows has column k
        const int lane = static_cast<int>(threadIdx.x % 32) / 4 * 4 + k / 2;
        const double upper = __shfl_sync(~0u, k % 2 ? left.value[t][1] : left.value[t][0], lane),
                     lower = __shfl_sync(~0u, k % 2 ? left.value[t][3] : left.value[t][2], lane);
        for_each([&](int r, int c, double& x) { x += (r < 8 ? upper : lower) * right(8 * t + k, c); });
      }
    }
  }
};

template <class acc_t, int kTiles>
using Wkv6Tile = std::conditional_t<std::is_same_v<acc_t, double>, DoubleTile<kTiles>, WarpTile<kTiles>>;

}  // namespace wkv::cuda
