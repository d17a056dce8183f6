// The gradients of q and k of based_linear_attention on the GPU's tensor cores, for d up to 16 and dv up to 128; for
// that of v, see based_linear_attention_chunked.cuh.
//
// Both are one sum: with x_t the row whose gradient is wanted, y_s the rows that it met,
//   dx_t = sum_{s <= t} da_ts (1 + x_t . y_s) y_s,   da_ts = u_t . w_s + c_ts
// for q with u = g / (z + eps), w = v and c = dz_t; for k, with time reversed, with u = v, w = g / (z + eps) and c =
// dz_s. A warp has 16 rows of S [feature][value] in its registers, ten warps all features: so the gradients of the
// features, S u^T, need no sum over warps. Within the chunk da_ts is taken as on the CPU (see
// based_linear_attention_backward_isa.h): 0 where a query sees its own token alone.
// Cost of a token of a head, for q as for k: 4 * 160 dv flops on the state, (2 dv + 4 d) 32 within the chunk.
#pragma once
#include "based_linear_attention/based_linear_attention_chunked.cuh"

namespace wkv::cuda {

inline constexpr int kBasedMostGradientValues = 128;
inline constexpr int kBasedFeatureWarps = kBasedFeatures / 16, kBasedGradientThreads = 32 * kBasedFeatureWarps;

template <class io_t>
struct BasedGradients {
  BasedElements<io_t> x, y;
  const io_t *u, *w;  // [tokens, heads, values]: g and v, or v and g
  io_t* dx;
  float dx_scale;
  BasedQuerySums<float> sums;
  BasedState<const float> before;  // that S starts from
  float* normaliser_after;         // [rows, heads, 1 + d + d^2]: the end of K; null: not wanted
  BasedScales load, store;
};

template <int kTiles>
struct BasedGradientsMemory : BasedChunkMemory {
  static constexpr int kColumns = 8 * kTiles, kUStride = kColumns + 4, kWStride = kColumns + 8;
  static constexpr int64_t kBytes = 4 * (kFloats + kBasedTokens * (kUStride + kWStride + 2 * kBasedScoreStride +
                                                                   2 * kBasedFeatureWarps + 3 + kBasedElementStride));

  float *u, *w;                // [kBasedTokens][kUStride], [kBasedTokens][kWStride]
  float *scores, *m;           // [t][s]: x_t . y_s, then dL/dscore; u_t . w_s
  float *dots, *past;          // [kBasedFeatureWarps][kBasedTokens]: the warps' parts of g . N and of z, of the past
  float *inverse, *dz, *mean;  // [kBasedTokens]: BasedQuerySums of the queries
  float* dx;                   // [kBasedTokens][kBasedElementStride]

  __device__ BasedGradientsMemory() {
    float* at = rest;
    const auto take = [&](int count) { return (at += count) - count; };
    u = take(kBasedTokens * kUStride);
    w = take(kBasedTokens * kWStride);
    scores = take(kBasedTokens * kBasedScoreStride);
    m = take(kBasedTokens * kBasedScoreStride);
    dots = take(kBasedFeatureWarps * kBasedTokens);
    past = take(kBasedFeatureWarps * kBasedTokens);
    inverse = take(kBasedTokens);
    dz = take(kBasedTokens);
    mean = take(kBasedTokens);
    dx = take(kBasedTokens * kBasedElementStride);
  }
};

// z and g . N of the chunk's queries, from S u^T of the past (`products`, this warp's features) and the chunk's scores:
// into sums, and inverse, dz and mean of shared memory.
template <int kTiles>
__device__ void sum_queries(const BasedCall& call, const BasedChunk& chunk, const BasedQuerySums<float>& sums,
                            const BasedGradientsMemory<kTiles>& memory, const WarpTile<kBasedTokens / 8>& products) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int tile = 0; tile < kBasedTokens / 8; ++tile) {
#pragma unroll
    for (int column = 0; column < 2; ++column) {
      const int t = products.column(tile, column);
      float dot = 0, past = 0;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int p = 16 * warp + products.row(2 * half);
        const float feature = memory.x_features[t * kBasedFeatureStride + p];
        dot += feature * products.value[tile][2 * half + column];
        past += feature * memory.normaliser[p];
      }
      for (int lanes = 16; lanes >= 4; lanes /= 2) {  // those of the same token
        dot += __shfl_xor_sync(~0u, dot, lanes);
        past += __shfl_xor_sync(~0u, past, lanes);
      }
      if (lane < 4) {
        memory.dots[warp * kBasedTokens + t] = dot;
        memory.past[warp * kBasedTokens + t] = past;
      }
    }
  }
  __syncthreads();
  if (warp < kBasedTokens / 4) {
    const int t = 4 * warp + lane / 8, part = lane % 8;  // a token to 8 lanes
    const float* const m = memory.m + t * kBasedScoreStride;
    const float own = m[t];
    float dot = 0, past = 0, present = 0;
    for (int w = part; w < kBasedFeatureWarps; w += 8) {
      dot += memory.dots[w * kBasedTokens + t];
      past += memory.past[w * kBasedTokens + t];
    }
    past = warp_sum<8>(past);
    for (int s = part; s <= t; s += 8) {
      const float a = taylor_exponential(memory.scores[t * kBasedScoreStride + s]);
      present += a;
      dot += a * (m[s] - own);
    }
    dot = warp_sum<8>(dot) - past * own;
    present = warp_sum<8>(present);
    if (part == 0) {
      const bool is_token = t < chunk.count();
      const int64_t at = is_token ? chunk.at(t) : 0;
      if (is_token) sums.set(call, at, past + present, dot, own);
      memory.inverse[t] = is_token ? sums.inverse[at] : 0;
      memory.dz[t] = is_token ? sums.dz[at] : 0;
      memory.mean[t] = is_token ? sums.mean[at] : 0;
    }
  }
  __syncthreads();
}

// kOfKeys: dL/dk, from the last token to the first, with the sums that the kernel for dL/dq has left.
template <class io_t, int kTiles, bool kOfKeys>
__global__ void __launch_bounds__(kBasedGradientThreads)
    based_gradients_kernel(BasedCall call, BasedGradients<io_t> io) {
  constexpr bool kExact = std::is_same_v<io_t, float>;
  using Memory = BasedGradientsMemory<kTiles>;
  const int warp = threadIdx.x / 32, size = call.size;
  const int64_t task = blockIdx.x;
  const BasedState<float> after{nullptr, io.normaliser_after};
  BasedChunk chunk{call.sequences[task / call.heads], call.heads, task % call.heads, 0, kOfKeys};
  if (chunk.sequence.length == 0) {
    return copy_state_rows(call, io.before, after, task, call.values, call.values + 1);
  }
  const Memory memory;
  memory.set_pairs();
  __syncthreads();
  WarpTile<kTiles> state;
  state.for_each([&](int r, int c, float& s) {
    const float* const row = c < call.values ? io.before.row(call, task, c) : nullptr;
    s = memory.load(row, io.load, size, 16 * warp + r);
  });
  for (int p = threadIdx.x; p < kBasedFeatures; p += kBasedGradientThreads) {
    memory.normaliser[p] = memory.load(io.before.row(call, task, call.values), io.load, size, p);
  }

  for (; chunk.start < chunk.sequence.length; chunk.start += kBasedTokens) {
    __syncthreads();  // the chunk before has been read
    load_elements(chunk, size, io.x, memory.x);
    load_elements(chunk, size, io.y, memory.y);
    const auto one = [](int) { return 1.0f; };
    const auto inverse = [&](int t) { return io.sums.inverse[chunk.at(t)]; };
    load_values(chunk, io.u, call.values, 0, Memory::kColumns, Memory::kUStride, one, memory.u);
    if constexpr (kOfKeys) {
      load_values(chunk, io.w, call.values, 0, Memory::kColumns, Memory::kWStride, inverse, memory.w);
      const int t = threadIdx.x;
      if (t < kBasedTokens) {
        memory.dz[t] = t < chunk.count() ? io.sums.dz[chunk.at(t)] : 0;
        memory.mean[t] = t < chunk.count() ? io.sums.mean[chunk.at(t)] : 0;
      }
    } else {
      load_values(chunk, io.w, call.values, 0, Memory::kColumns, Memory::kWStride, one, memory.w);
    }
    __syncthreads();
    if constexpr (!kOfKeys) multiply_pairs(memory.pairs, memory.x, io.x.square, memory.x_features);
    multiply_pairs(memory.pairs, memory.y, io.y.square, memory.y_features);
    const auto as_it_is = [](int, int, float x) { return x; };
    if (warp < 4) {
      multiply_tokens<kExact>(warp, kBasedElements, memory.x, kBasedElementStride, memory.y, kBasedElementStride,
                              memory.scores, as_it_is);
    } else if (warp < 8) {
      multiply_tokens<kExact>(warp - 4, Memory::kColumns, memory.u, Memory::kUStride, memory.w, Memory::kWStride,
                              memory.m, as_it_is);
    }
    __syncthreads();

    WarpTile<kBasedTokens / 8> products;  // [feature][token]
    products.clear();
    products.template add_product<kExact>(state, [&](int k, int n) { return memory.u[n * Memory::kUStride + k]; });
    if constexpr (!kOfKeys) sum_queries(call, chunk, io.sums, memory, products);
    // In the place of the features of x come their gradients, ...
    products.for_each([&](int r, int t, float& x) {
      const int p = 16 * warp + r;
      const float of_past = memory.normaliser[p];
      memory.x_features[t * kBasedFeatureStride + p] =
          kOfKeys ? x + of_past : x * memory.inverse[t] + memory.dz[t] * of_past;
    });
    // ... and in that of the scores theirs.
    for (int i = threadIdx.x; i < kBasedTokens * kBasedTokens; i += kBasedGradientThreads) {
      const int t = i / kBasedTokens, s = i % kBasedTokens, query = kOfKeys ? s : t;
      const float own = call.normalize ? memory.m[query * kBasedScoreStride + query] : 0;
      const float product = memory.m[t * kBasedScoreStride + s] - own;
      const float da = (kOfKeys ? product : product * memory.inverse[t]) - memory.mean[query];
      float& score = memory.scores[t * kBasedScoreStride + s];
      score = s <= t ? da * (1 + score) : 0;
    }
    __syncthreads();

    if (warp < 2) {
      WarpTile<2> dx;
      dx.clear();
      dx.add_product<kExact>(
          kBasedTokens, [&](int r, int k) { return memory.scores[(16 * warp + r) * kBasedScoreStride + k]; },
          [&](int k, int n) { return memory.y[k * kBasedElementStride + n]; });
      dx.for_each([&](int r, int c, float& x) { memory.dx[(16 * warp + r) * kBasedElementStride + c] = x; });
    }
    state.template add_product<kExact>(
        kBasedTokens, [&](int r, int k) { return memory.y_features[k * kBasedFeatureStride + 16 * warp + r]; },
        [&](int k, int n) { return memory.w[k * Memory::kWStride + n]; });
    for (int p = threadIdx.x; p < kBasedFeatures; p += kBasedGradientThreads) {
      float sum = memory.normaliser[p];
      for (int t = 0; t < kBasedTokens; ++t) {
        sum += memory.y_features[t * kBasedFeatureStride + p] * (kOfKeys ? memory.dz[t] : 1);
      }
      memory.normaliser[p] = sum;
    }
    __syncthreads();
    for (int place = threadIdx.x; place < kBasedTokens * size; place += kBasedGradientThreads) {
      const int t = place / size, i = place % size;
      if (t >= chunk.count()) continue;
      const float* const gradients = memory.x_features + t * kBasedFeatureStride;
      const float* const x = memory.x + t * kBasedElementStride;
      float sum = memory.dx[t * kBasedElementStride + i];
      for (int j = 0; j <= kBasedElements; ++j) {
        const int p = i < j ? based_feature(kBasedElements, i, j) : based_feature(kBasedElements, j, i);
        sum += gradients[p] * x[j] * (i == j ? 2 * io.x.square : 1);
      }
      io.dx[chunk.at(t) * size + i] = static_cast<io_t>(sum * io.dx_scale);
    }
  }
  for (int p = threadIdx.x; p < kBasedFeatures; p += kBasedGradientThreads) {
    memory.store(memory.normaliser[p], io.before.row(call, task, call.values), after.row(call, task, call.values),
                 io.store, size, p);
  }
}

}  // namespace wkv::cuda
