// based_linear_attention on the GPU's tensor cores, a chunk of tokens at a time, for d up to 16: y, and dL/dv, which is
// the same sum with time reversed and q and k exchanged,
//   out_t = sum_{s <= t} a_ts w_s,   a_ts = 1 + x + x^2 / 2,   x = x_t . y_s.
//
// A warp has 16 rows of S^T [value][feature] in its registers for the whole sequence (160 features: 80 registers). A
// chunk of 32 tokens: out^T = S^T features(x)^T + w^T a^T, then S^T += w^T features(y); the last product is exact as
// fp32, the others for fp32 alone, else of 10 bits. The normaliser is summed beside them, in fp32.
// Cost of a token of a head: 4 * 160 dv flops on the state, (d + dv) 64 within the chunk. Memory: v and y once, q and k
// once for each 64 values (32 where there are few heads).
#pragma once
#include "based_linear_attention/based_linear_attention_features.cuh"
#include "core/cuda/warp_tile.cuh"

namespace wkv::cuda {

inline constexpr int kBasedTokens = 32;     // of a chunk
inline constexpr int kBasedElements = 16;   // of q and k, filled up with zeros; the 1 comes after them
inline constexpr int kBasedFeatures = 160;  // 153, filled up with zeros

// Rows in shared memory, as long as keeps the loads of operands from sharing banks.
inline constexpr int kBasedElementStride = 20, kBasedFeatureStride = kBasedFeatures + 8,
                     kBasedScoreStride = kBasedTokens + 4;

// The tokens of a sequence in the order in which they are taken, 32 at a time.
struct BasedChunk {
  Sequence sequence;
  int64_t heads, head, start;
  bool reverse;

  __device__ int64_t count() const { return sequence.length - start; }
  // Token t of the chunk, counted with the heads.
  __device__ int64_t at(int t) const {
    const int64_t place = reverse ? sequence.length - 1 - (start + t) : start + t;
    return (sequence.first_token + place) * heads + head;
  }
};

// q or k, and its factors: of elements, and of features that are squares.
template <class io_t>
struct BasedElements {
  const io_t* from;
  float scale, square;
};

// What a chunk has of x or y.
struct BasedChunkMemory {
  static constexpr int kFloats = 2 * kBasedTokens * (kBasedElementStride + kBasedFeatureStride) + 2 * kBasedFeatures;

  float *x, *y;                    // [kBasedTokens][kBasedElementStride]
  float *x_features, *y_features;  // [kBasedTokens][kBasedFeatureStride]
  float* normaliser;               // [kBasedFeatures]: K
  int* pairs;                      // [kBasedFeatures]: of the feature (i, j), i + 32 j
  float* rest;

  __device__ BasedChunkMemory() {
    x = reinterpret_cast<float*>(shared_memory());
    y = x + kBasedTokens * kBasedElementStride;
    x_features = y + kBasedTokens * kBasedElementStride;
    y_features = x_features + kBasedTokens * kBasedFeatureStride;
    normaliser = y_features + kBasedTokens * kBasedFeatureStride;
    pairs = reinterpret_cast<int*>(normaliser + kBasedFeatures);
    rest = normaliser + 2 * kBasedFeatures;
  }

  // To be followed by a barrier.
  __device__ void set_pairs() const {
    constexpr int kOnes = kBasedElements, kZero = kBasedElements + 1;  // an element that is 0
    for (int p = threadIdx.x; p < kBasedFeatures; p += blockDim.x) {
      if (p > based_feature(kOnes, kOnes, kOnes)) pairs[p] = kZero + 32 * kZero;
    }
    for (int pair = threadIdx.x; pair < (kOnes + 1) * (kOnes + 1); pair += blockDim.x) {
      const int i = pair / (kOnes + 1), j = pair % (kOnes + 1);
      if (i <= j) pairs[based_feature(kOnes, i, j)] = i + 32 * j;
    }
  }
  // The feature p of a row of a state in memory.
  __device__ float load(const float* row, const BasedScales& scales, int size, int p) const {
    return load_feature(row, scales, size, kBasedElements, pairs[p] % 32, pairs[p] / 32);
  }
  __device__ void store(float value, const float* before, float* row, const BasedScales& scales, int size,
                        int p) const {
    store_feature(value, before, row, scales, size, kBasedElements, pairs[p] % 32, pairs[p] / 32);
  }
};

template <class io_t>
__device__ void load_elements(const BasedChunk& chunk, int size, const BasedElements<io_t>& elements, float* to) {
  for (int i = threadIdx.x; i < kBasedTokens * kBasedElementStride; i += blockDim.x) {
    const int t = i / kBasedElementStride, c = i % kBasedElementStride;
    float x = 0;
    if (t < chunk.count()) {
      if (c < size) x = static_cast<float>(elements.from[chunk.at(t) * size + c]) * elements.scale;
      if (c == kBasedElements) x = 1;
    }
    to[i] = x;
  }
}
// Values first, ..., first + columns - 1 of each token, times factor(t); zeros from `end` on. Whether what this thread
// has loaded is finite.
template <class io_t, class Factor>
__device__ bool load_values(const BasedChunk& chunk, const io_t* from, int values, int first, int columns, int stride,
                            const Factor& factor, float* to) {
  bool finite = true;
  for (int i = threadIdx.x; i < kBasedTokens * columns; i += blockDim.x) {
    const int t = i / columns, c = i % columns;
    float x = 0;
    if (t < chunk.count() && first + c < values) {
      x = static_cast<float>(from[chunk.at(t) * values + first + c]) * factor(t);
    }
    finite = finite && x - x == 0;
    to[t * stride + c] = x;
  }
  return finite;
}
__device__ inline void multiply_pairs(const int* pairs, const float* elements, float square, float* features) {
  for (int i = threadIdx.x; i < kBasedTokens * kBasedFeatures; i += blockDim.x) {
    const int t = i / kBasedFeatures, p = i % kBasedFeatures, first = pairs[p] % 32, second = pairs[p] / 32;
    const float* const x = elements + t * kBasedElementStride;
    const float factor = first == second && first < kBasedElements ? square : 1;
    features[t * kBasedFeatureStride + p] = x[first] * x[second] * factor;
  }
}
// to[t][s] = value(t, s, left_t . right_s) for a part 0, ..., 3 of the chunk's pairs of tokens; by a warp.
template <bool kExact, class Value>
__device__ void multiply_tokens(int part, int depth, const float* left, int left_stride, const float* right,
                                int right_stride, float* to, const Value& value) {
  const int first_t = part / 2 * 16, first_s = part % 2 * 16;
  WarpTile<2> tile;
  tile.clear();
  tile.add_product<kExact>(
      depth, [&](int r, int k) { return left[(first_t + r) * left_stride + k]; },
      [&](int k, int n) { return right[(first_s + n) * right_stride + k]; });
  tile.for_each([&](int r, int c, float& x) {
    to[(first_t + r) * kBasedScoreStride + first_s + c] = value(first_t + r, first_s + c, x);
  });
}

template <class io_t>
struct BasedOutputs {
  BasedElements<io_t> x, y;
  const io_t* w;          // [tokens, heads, values] ...
  const float* w_factor;  // ... times [tokens, heads]; null: 1
  io_t* out;              // [tokens, heads, values]
  bool reverse;           // from the last token to the first; then there is no normaliser
  BasedState<const float> before;
  BasedState<float> after;
  BasedScales load, store;  // of the states
  int groups;               // of values, a block each

  static int64_t shared_bytes(int warps) {
    return 4 * (BasedChunkMemory::kFloats + kBasedTokens * (16 * warps + 8 + kBasedScoreStride + 1) + 1);
  }
};

inline constexpr int kBasedMostValueWarps = 4;  // of a block: 2 or 4

template <class io_t>
__global__ void __launch_bounds__(32 * kBasedMostValueWarps)
    based_outputs_kernel(BasedCall call, BasedOutputs<io_t> io) {
  constexpr bool kExact = std::is_same_v<io_t, float>;
  const int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32, size = call.size;
  const int64_t task = blockIdx.x / io.groups;
  const int first_value = blockIdx.x % io.groups * 16 * warps, value_of_warp = first_value + 16 * warp;
  const bool has_normaliser = !io.reverse, stores_normaliser = has_normaliser && first_value == 0;
  BasedChunk chunk{call.sequences[task / call.heads], call.heads, task % call.heads, 0, io.reverse};
  if (chunk.sequence.length == 0) {
    const int end = first_value + 16 * warps;
    copy_state_rows(call, io.before, io.after, task, first_value, end < call.values ? end : call.values);
    if (stores_normaliser) copy_state_rows(call, io.before, io.after, task, call.values, call.values + 1);
    return;
  }
  const BasedChunkMemory memory;
  const int w_stride = 16 * warps + 8;
  float* const w = memory.rest;                                    // [kBasedTokens][w_stride]
  float* const a = w + kBasedTokens * w_stride;                    // [t][s]
  float* const out_factor = a + kBasedTokens * kBasedScoreStride;  // [kBasedTokens]
  int* const has_infinite = reinterpret_cast<int*>(out_factor + kBasedTokens);

  memory.set_pairs();
  if (threadIdx.x == 0) *has_infinite = 0;
  __syncthreads();
  const auto state_row = [&](const auto& state, int r) {
    return value_of_warp + r < call.values ? state.row(call, task, value_of_warp + r) : nullptr;
  };
  WarpTile<kBasedFeatures / 8> state;
  state.for_each([&](int r, int p, float& s) { s = memory.load(state_row(io.before, r), io.load, size, p); });
  for (int p = threadIdx.x; has_normaliser && p < kBasedFeatures; p += blockDim.x) {
    memory.normaliser[p] = memory.load(io.before.row(call, task, call.values), io.load, size, p);
  }

  for (; chunk.start < chunk.sequence.length; chunk.start += kBasedTokens) {
    __syncthreads();  // the chunk before has been read
    load_elements(chunk, size, io.x, memory.x);
    load_elements(chunk, size, io.y, memory.y);
    const auto w_factor = [&](int t) { return io.w_factor ? io.w_factor[chunk.at(t)] : 1.0f; };
    if (!load_values(chunk, io.w, call.values, first_value, 16 * warps, w_stride, w_factor, w)) *has_infinite = 1;
    __syncthreads();
    multiply_pairs(memory.pairs, memory.x, io.x.square, memory.x_features);
    multiply_pairs(memory.pairs, memory.y, io.y.square, memory.y_features);
    for (int part = warp; part < 4; part += warps) {
      multiply_tokens<kExact>(part, kBasedElements, memory.x, kBasedElementStride, memory.y, kBasedElementStride, a,
                              [](int t, int s, float x) { return s <= t ? taylor_exponential(x) : 0.0f; });
    }
    __syncthreads();

    for (int t = 4 * warp + lane / 8; has_normaliser && t < kBasedTokens; t += 4 * warps) {  // by 8 lanes
      float z = 0;
      for (int p = lane % 8; p < kBasedFeatures; p += 8) {
        z += memory.x_features[t * kBasedFeatureStride + p] * memory.normaliser[p];
      }
      for (int s = lane % 8; s <= t; s += 8) z += a[t * kBasedScoreStride + s];
      z = warp_sum<8>(z);
      if (lane % 8 == 0) out_factor[t] = call.normalize ? 1 / (z + static_cast<float>(call.eps)) : 1;
    }
    WarpTile<kBasedTokens / 8> out;  // [value][token]
    out.clear();
    out.template add_product<kExact>(state,
                                     [&](int k, int n) { return memory.x_features[n * kBasedFeatureStride + k]; });
    // Values that a token does not see meet a = 0: that they be not finite must not matter.
    const auto value = [&](int r, int t) { return w[t * w_stride + 16 * warp + r]; };
    out.template add_product<kExact>(
        kBasedTokens,
        [&](int r, int k) {
          const float x = value(r, k);
          return x - x == 0 ? x : 0.0f;
        },
        [&](int k, int n) { return a[n * kBasedScoreStride + k]; });
    if (*has_infinite) {
      out.for_each([&](int r, int t, float& sum) {
        for (int s = 0; s <= t; ++s) {
          const float x = value(r, s);
          if (x - x != 0) sum += x;
        }
      });
    }
    // Exact for any dtype: features have more bits than the elements, and what a state lacks stays in it.
    state.template add_product<true>(kBasedTokens, value,
                                     [&](int k, int n) { return memory.y_features[k * kBasedFeatureStride + n]; });
    __syncthreads();
    out.for_each([&](int r, int t, float& sum) {
      if (t >= chunk.count() || value_of_warp + r >= call.values) return;
      io.out[chunk.at(t) * call.values + value_of_warp + r] =
          static_cast<io_t>(has_normaliser ? sum * out_factor[t] : sum);
    });
    for (int p = threadIdx.x; has_normaliser && p < kBasedFeatures; p += blockDim.x) {
      float sum = memory.normaliser[p];
      for (int t = 0; t < kBasedTokens; ++t) sum += memory.y_features[t * kBasedFeatureStride + p];
      memory.normaliser[p] = sum;
    }
  }

  state.for_each([&](int r, int p, float& s) {
    memory.store(s, state_row(io.before, r), state_row(io.after, r), io.store, size, p);
  });
  for (int p = threadIdx.x; stores_normaliser && p < kBasedFeatures; p += blockDim.x) {
    memory.store(memory.normaliser[p], io.before.row(call, task, call.values), io.after.row(call, task, call.values),
                 io.store, size, p);
  }
}

}  // namespace wkv::cuda
