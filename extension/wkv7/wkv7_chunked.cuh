// wkv7 on the GPU, chunk after chunk on tensor cores; the equations are in wkv7_chunk.cuh. A block has a head of a
// sequence, a warp 16 values of its state in registers from the first token to the last.
//
// Of a token of a head of size N: some 50 N multiply-adds for the pairs of tokens, 4 N^2 + 64 N on tensor cores (of
// which fp32 takes three TF32 products each, bf16 and fp16 one). Memory: each row of the inputs and outputs once.
#pragma once
#include "wkv7/wkv7_chunk.cuh"
#include "wkv7/wkv7_recurrent.cuh"

namespace wkv::cuda {

template <class io_t, int kSize>
inline constexpr int kWkv7ChunkedSharedBytes =
    Wkv7Chunk<io_t, kSize>::Tile::kBytes + Wkv7Chunk<io_t, kSize>::Tile::kRawBytes +
    (Wkv7Chunk<io_t, kSize>::kRows + kSize + Wkv7Chunk<io_t, kSize>::kMatrices) * sizeof(float) +
    Wkv7Chunk<io_t, kSize>::kRawValues * sizeof(io_t);

// Blocks: heads of sequences. Outputs that are null are not wanted.
template <class io_t, int kSize>
__global__ void __launch_bounds__(2 * kSize) wkv7_chunked_kernel(Wkv7Batch batch, Wkv7ForwardOutputs out) {
  using Chunk = Wkv7Chunk<io_t, kSize>;
  using Tile = typename Chunk::Tile;
  constexpr bool kExact = Chunk::kExact;
  const Wkv7Inputs& in = batch.in;
  const Wkv7Head head = batch.head(blockIdx.x);
  const int64_t length = head.sequence.length;

  const Tile x(shared_memory());
  auto* const v = reinterpret_cast<float*>(shared_memory() + Tile::kBytes);  // [16][kStride]
  float* const end = v + Chunk::kRows;                                       // [kSize]: P_L
  const typename Chunk::Matrices matrices(end + kSize);
  char* const raw = reinterpret_cast<char*>(matrices.Aab + Chunk::kMatrices);
  auto* const raw_v = reinterpret_cast<io_t*>(raw + Tile::kRawBytes);
  matrices.clear();

  typename Chunk::State S;
  Chunk::load_state(S, head,
                    batch.state_before ? static_cast<const float*>(batch.state_before) + head.state() : nullptr);

  const auto tokens_at = [&](int64_t first) {
    return static_cast<int>(length - first < kWkv7Chunk ? length - first : kWkv7Chunk);
  };
  const auto fetch = [&](int64_t first) {
    if (first < length) {
      Tile::fetch(raw, in, head, first, tokens_at(first));
      Chunk::fetch_values(raw_v, in.v, head, first, tokens_at(first));
    }
    commit_copies();
  };

  fetch(0);
  for (int64_t first = 0; first < length; first += kWkv7Chunk) {
    const int tokens = tokens_at(first);
    if (out.checkpoints) {
      Chunk::store_state(S, head, static_cast<float*>(out.checkpoints) + head.checkpoint(first));
    }
    wait_for_copies<0>();
    __syncthreads();
    x.take(raw, in, tokens);
    Chunk::take_values(v, raw_v, head, tokens);
    __syncthreads();
    fetch(first + kWkv7Chunk);
    Chunk::multiply_pairs(x, matrices);
    __syncthreads();
    Chunk::decay_rows(x, x.r, x.a, x.k, x.b, end);
    if (threadIdx.x < 32) Chunk::invert(matrices);
    __syncthreads();

    const auto v_columns = Chunk::transposed_rows(v, Chunk::first_value());
    const auto of_state = Chunk::multiply_by_rows(S, x.a);  // S A~^T and S R~^T
    const auto sa = Chunk::solve(matrices, v, Chunk::part(of_state, 0));
    if (out.y) {
      auto y = Chunk::part(of_state, 1);
      y.template add_product<kExact>(kWkv7Chunk, v_columns, Chunk::transposed_matrix(matrices.Ark));
      y.template add_product<kExact>(sa, Chunk::transposed_matrix(matrices.Arb));
      Chunk::store_values(y, head, first, tokens, out.y);
    }
    Chunk::scale_keys(S, end);
    S.template add_product<kExact>(kWkv7Chunk, v_columns, Chunk::rows(x.k));
    S.template add_product<kExact>(sa, Chunk::rows(x.b));
  }
  if (out.state_after) Chunk::store_state(S, head, static_cast<float*>(out.state_after) + head.state());
}

}  // namespace wkv::cuda
