// wkv7 on the GPU, token after token: any sizes and dtypes; fp64 as well. See wkv7.h.
//
// One or more neighbouring lanes own a row of the state, a value j with its keys, in registers. The rows of r, d, k, a
// and b that all values share come through shared memory, a tile of tokens while the one before is computed. A head
// runs as the next larger of the compiled sizes.
#pragma once
#include "wkv7/wkv7_tile.cuh"

namespace wkv::cuda {

struct Wkv7ForwardOutputs {
  void *y, *state_after;
  void* checkpoints;  // the states before each kWkv7Chunk-th token (Wkv7Head::checkpoint); null: not wanted
};

template <class io_t, int kKeys>
struct Wkv7RecurrentShape {
  static constexpr int kKeyBytes = kKeys * static_cast<int>(sizeof(accumulate_t<io_t>));
  // Lanes of a row, and tokens of a tile.
  static constexpr int kLanes = kKeyBytes <= 128 ? 1 : kKeyBytes <= 256 ? 2 : kKeyBytes <= 512 ? 4 : 8;
  static constexpr int kTokens = kKeyBytes <= 256 ? 16 : kKeyBytes <= 512 ? 8 : kKeyBytes <= 1024 ? 4 : 2;
  static constexpr int kMostThreads = 256;
  using Tile = Wkv7Tile<io_t, kKeys, kTokens>;
  static constexpr int kSharedBytes = Tile::kBytes + Tile::kRawBytes;
};

// Blocks: heads of sequences * value_blocks; a block has blockDim / kLanes values. Outputs that are null are not
// wanted.
template <class io_t, int kKeys>
__global__ void __launch_bounds__(256, 1)
    wkv7_recurrent_kernel(Wkv7Batch batch, Wkv7ForwardOutputs out, int64_t value_blocks) {
  using Shape = Wkv7RecurrentShape<io_t, kKeys>;
  using acc_t = accumulate_t<io_t>;
  using Vector = Wkv7Vector<acc_t>;
  constexpr int kLanes = Shape::kLanes, kVectors = kKeys / kLanes / Vector::kSize;
  const Wkv7Inputs& in = batch.in;
  const Wkv7Head head = batch.head(blockIdx.x / value_blocks);
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t j = (blockIdx.x % value_blocks * blockDim.x + threadIdx.x) / kLanes;
  const bool mine = j < in.value_size;
  const int64_t state_row = head.state() + j * in.key_size, length = head.sequence.length;
  // Vector n of this lane begins at its key.
  const auto first_key = [&](int n) { return (n * kLanes + lane) * Vector::kSize; };

  Vector S[kVectors];
  const auto for_state = [&](const auto& function) {
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
#pragma unroll
      for (int c = 0; c < Vector::kSize; ++c) {
        if (mine && first_key(n) + c < in.key_size) function(first_key(n) + c, S[n].value[c]);
      }
    }
  };
  for (Vector& keys : S) keys = {};
  if (batch.state_before) {
    const acc_t* const before = static_cast<const acc_t*>(batch.state_before) + state_row;
    for_state([&](int i, acc_t& s) { s = before[i]; });
  }

  const typename Shape::Tile tile(shared_memory());
  char* const raw = shared_memory() + Shape::Tile::kBytes;
  const auto tokens_at = [&](int64_t first) {
    return static_cast<int>(length - first < Shape::kTokens ? length - first : Shape::kTokens);
  };
  const auto fetch = [&](int64_t first) {
    if (first < length) Shape::Tile::fetch(raw, in, head, first, tokens_at(first));
    commit_copies();
  };
  const auto sum = [](const Vector& x) {
    acc_t total = 0;
    for (const acc_t part : x.value) total += part;
    return warp_sum<kLanes>(total);
  };
  const auto value = [&](int64_t t) {
    return mine && t < length ? static_cast<acc_t>(static_cast<const io_t*>(in.v)[head.values(t) + j]) : acc_t{0};
  };

  fetch(0);
  acc_t v_next = value(0);
  for (int64_t first = 0; first < length; first += Shape::kTokens) {
    const int tokens = tokens_at(first);
    wait_for_copies<0>();
    __syncthreads();
    tile.take(raw, in, tokens);
    __syncthreads();
    fetch(first + Shape::kTokens);
    for (int t = 0; t < tokens; ++t) {
      if (out.checkpoints && (first + t) % kWkv7Chunk == 0) {
        acc_t* const to = static_cast<acc_t*>(out.checkpoints) + head.checkpoint(first + t) + j * in.key_size;
        for_state([&](int i, acc_t& s) { to[i] = s; });
      }
      const acc_t v = v_next;
      v_next = value(first + t + 1);
      const auto keys = [&](const acc_t* rows, int n) {
        return load_vector(rows + t * Shape::Tile::kStride + first_key(n));
      };
      // Sums of their own for each place in a vector: shorter chains.
      Vector sums{};
#pragma unroll
      for (int n = 0; n < kVectors; ++n) {
        const Vector a = keys(tile.a, n);
        for (int c = 0; c < Vector::kSize; ++c) sums.value[c] += a.value[c] * S[n].value[c];
      }
      const acc_t sa = sum(sums);
      sums = {};
#pragma unroll
      for (int n = 0; n < kVectors; ++n) {
        const Vector r = keys(tile.r, n), d = keys(tile.d, n), k = keys(tile.k, n), b = keys(tile.b, n);
        for (int c = 0; c < Vector::kSize; ++c) {
          S[n].value[c] = d.value[c] * S[n].value[c] + (k.value[c] * v + b.value[c] * sa);
          sums.value[c] += r.value[c] * S[n].value[c];
        }
      }
      const acc_t y = sum(sums);
      if (out.y && mine && lane == 0) static_cast<io_t*>(out.y)[head.values(first + t) + j] = static_cast<io_t>(y);
    }
  }
  if (out.state_after) {
    acc_t* const after = static_cast<acc_t*>(out.state_after) + state_row;
    for_state([&](int i, acc_t& s) { after[i] = s; });
  }
}

}  // namespace wkv::cuda
