// The backward of wkv6 in chunks (wkv6_chunk.cuh), from the last to the first, each from the state S before it, which
// the forward left. With Z the gradient of the state after the chunk, and g_t = dL/dy_t:
//
//   dA_ts = g_t v_s for s <= t,   dread_t = g_t S,   dwritten_s = v_s Z,   dtotal_i = sum_j S_ij Z_ij,
//   dv_s = sum_t A_ts g_t + Z written_s,   Z <- Z total + sum_t g_t read_t;
//
// what these leave for r, k, the decay and u is in wkv6_pair_gradients.cuh. All of it but dv is a sum over values:
// parts of the values are added afterwards. A warp owns 16 keys, whose columns of Z are its registers from the last
// token to the first. A token costs 4 N M + 32 M multiply-adds of the tensor cores
// (for fp64, of the CUDA cores) and 80 N others.
#pragma once
#include "wkv6/wkv6_chunk.cuh"
#include "wkv6/wkv6_pair_gradients.cuh"
#include "wkv6/wkv6_tile.cuh"

namespace wkv::cuda {

// The values of a block: what registers and shared memory hold beside its keys.
template <class acc_t>
constexpr int wkv6_backward_values(int keys) {
  return std::is_same_v<acc_t, double> ? 16 : keys > 128 ? 32 : keys > 80 ? 64 : keys;
}

// Blocks of a multiprocessor, to wait for memory in turn: as many as their registers allow without spills.
template <class io_t>
constexpr int wkv6_backward_blocks(int keys) {
  return keys <= 64 && !std::is_same_v<io_t, double> ? 3 : 1;
}

template <class acc_t>
struct Wkv6BackwardInputs {
  const void* y;             // dL/dy [tokens, heads, value], of the io dtype
  const acc_t* state_after;  // dL/d(state after) [sequences, heads, value, key]; null: zeros
  const acc_t* checkpoints;  // as Wkv6Forward's
  acc_t* state_before;       // null: not wanted
};

template <class io_t, int kKeys>
constexpr int64_t wkv6_backward_elements() {
  using acc_t = accumulate_t<io_t>;
  using Chunk = Wkv6Chunk<io_t, kKeys>;
  constexpr int kValueStride = wkv6_stride<acc_t>(wkv6_backward_values<acc_t>(kKeys));
  return Chunk::kElements + 2 * kWkv6Chunk * kValueStride + int64_t{kKeys} * kValueStride +
         kWkv6Chunk * Chunk::kPairStride + kKeys;
}

template <class io_t, int kKeys>
__global__ __launch_bounds__(2 * kKeys, (wkv6_backward_blocks<io_t>(kKeys))) void wkv6_backward_kernel(
    Wkv6Inputs in, Wkv6Grid grid, Wkv6BackwardInputs<accumulate_t<io_t>> from, Wkv6GradientRows to) {
  using acc_t = accumulate_t<io_t>;
  using Chunk = Wkv6Chunk<io_t, kKeys>;
  constexpr bool kExact = std::is_same_v<io_t, float>;
  constexpr int kValues = wkv6_backward_values<acc_t>(kKeys), kValueStride = wkv6_stride<acc_t>(kValues);
  const Wkv6Task task(in, grid);
  const int warp = static_cast<int>(threadIdx.x / 32), my_key = 16 * warp;
  const int64_t first_value = task.part * kValues;
  const int existing = static_cast<int>(in.value_size - first_value < kValues ? in.value_size - first_value : kValues);

  const Chunk chunk(reinterpret_cast<acc_t*>(shared_memory()));
  acc_t* const v = chunk.pairs + kWkv6Chunk * Chunk::kPairStride;  // [token][kValueStride]
  acc_t* const g = v + kWkv6Chunk * kValueStride;
  acc_t* const z = g + kWkv6Chunk * kValueStride;                                   // [key][kValueStride]
  acc_t* const pair_gradients = z + kKeys * kValueStride;                           // dA: [t][kPairStride]
  acc_t* const total_gradients = pair_gradients + kWkv6Chunk * Chunk::kPairStride;  // [kKeys]

  // [key][value], of the keys from my_key on.
  using StateTile = Wkv6Tile<acc_t, kValues / 8>;
  using TokenTile = Wkv6Tile<acc_t, kWkv6Chunk / 8>;
  const auto for_each_of_state = [&](StateTile& tile, const auto& function) {  // (element of the head's state, value)
    tile.for_each([&](int key, int value, acc_t& x) {
      if (value < existing && my_key + key < in.key_size)
        function((first_value + value) * in.key_size + my_key + key, x);
    });
  };
  StateTile gradient;
  gradient.clear();
  if (from.state_after) {
    for_each_of_state(gradient, [&](int64_t at, acc_t& x) { x = from.state_after[task.state(in) + at]; });
  }
  Wkv6PairGradients<io_t, kKeys> pair_work(in, grid, task, to);
  chunk.load_u(in, task.head, !task.from_right());

  for (int64_t t0 = (task.length - 1) / kWkv6Chunk * kWkv6Chunk; t0 >= 0 && task.length > 0; t0 -= kWkv6Chunk) {
    const int count = task.count(t0);
    const Wkv6Rows<io_t> rows(in, task, t0, first_value);
    chunk.load(in, rows, count);
    wkv6_load_values<io_t>(rows.v, rows.value_stride, count, existing, kValues, kValueStride, v);
    wkv6_load_values<io_t>(static_cast<const io_t*>(from.y) + task.row(t0) * in.value_size + first_value,
                           rows.value_stride, count, existing, kValues, kValueStride, g);
    gradient.for_each([&](int key, int value, acc_t& x) { z[(my_key + key) * kValueStride + value] = x; });
    __syncthreads();

    StateTile state;
    state.clear();
    for_each_of_state(state, [&](int64_t at, acc_t& x) { x = from.checkpoints[task.state_at(in, t0) + at]; });
    chunk.multiply_pairs();
    const auto g_of = [&](int t, int value) { return g[t * kValueStride + value]; };
    const auto g_to = [&](int value, int t) { return g[t * kValueStride + value]; };
    const auto v_to = [&](int value, int t) { return v[t * kValueStride + value]; };
    TokenTile of_read, of_written;  // [key][token]
    of_read.clear();
    of_read.template add_product<kExact>(state, g_to);
    acc_t of_total[2] = {};  // of this lane's two rows
#pragma unroll
    for (int t = 0; t < kValues / 8; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) of_total[i / 2] += state.value[t][i] * gradient.value[t][i];
    }
    for (int half = 0; half < 2; ++half) {
      const acc_t sum = warp_sum<4>(of_total[half]);
      if (threadIdx.x % 4 == 0) total_gradients[my_key + StateTile::row(2 * half)] = sum;
    }
    of_written.clear();
    of_written.template add_product<kExact>(gradient, v_to);
    if (warp == kKeys / 16 - 1) {
      TokenTile products;
      products.clear();
      products.template add_product<kExact>(kValues, g_of, v_to);
      products.for_each(
          [&](int t, int s, acc_t& x) { pair_gradients[t * Chunk::kPairStride + s] = s <= t ? x : acc_t{0}; });
    }
    gradient.for_each([&](int key, int, acc_t& x) { x *= chunk.total[my_key + key]; });
    gradient.template add_product<kExact>(
        kWkv6Chunk, [&](int key, int t) { return chunk.read[t * Chunk::kStride + my_key + key]; }, g_of);
    __syncthreads();

    for (int value = 16 * warp; value < kValues; value += kKeys) {
      TokenTile of_v;  // [value][token]
      of_v.clear();
      of_v.template add_product<kExact>(
          kWkv6Chunk, [&](int j, int t) { return g[t * kValueStride + value + j]; },
          [&](int t, int s) { return chunk.pairs[t * Chunk::kPairStride + s]; });
      of_v.template add_product<kExact>(
          kKeys, [&](int j, int key) { return z[key * kValueStride + value + j]; },
          [&](int key, int s) { return chunk.written[s * Chunk::kStride + key]; });
      of_v.for_each([&](int j, int s, acc_t& x) {
        if (value + j >= existing || s >= count) return;
        const int64_t at = task.row(t0 + s) * in.value_size + first_value + value + j;
        to.v.template store<io_t>(task.direction, at, x);
      });
    }
    __syncthreads();
    of_read.for_each([&](int key, int t, acc_t& x) { chunk.read[t * Chunk::kStride + my_key + key] = x; });
    of_written.for_each([&](int key, int s, acc_t& x) { chunk.written[s * Chunk::kStride + my_key + key] = x; });
    __syncthreads();
    pair_work.add_chunk(chunk, pair_gradients, total_gradients, t0, count);
    __syncthreads();
  }
  pair_work.finish(grid);
  if (from.state_before) {
    for_each_of_state(gradient, [&](int64_t at, acc_t& x) { from.state_before[task.state(in) + at] = x; });
  }
}

}  // namespace wkv::cuda
