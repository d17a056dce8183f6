// What the kernels of wkv7 share: the heads of a batch, and the way of their rows to shared memory. See wkv7.h.
#pragma once
#include "core/cuda/decay.cuh"
#include "core/cuda/sequences.cuh"
#include "wkv7/wkv7.h"

namespace wkv::cuda {

inline constexpr int kWkv7Chunk = 16;  // tokens from a state that the backward is given to the next

// A head of a sequence.
struct Wkv7Head {
  Sequence sequence;
  int64_t row, head, heads, key_size, value_size;

  // Where its rows of token t begin.
  __device__ int64_t keys(int64_t t) const { return token(t) * key_size; }
  __device__ int64_t values(int64_t t) const { return token(t) * value_size; }
  // Where its state begins in [sequences, heads, value, key].
  __device__ int64_t state() const { return (row * heads + head) * value_size * key_size; }
  // Where the state before token t, a multiple of kWkv7Chunk, begins in [slots, heads, value, key]: a sequence has a
  // slot for each chunk, and these are not the next sequence's.
  __device__ int64_t checkpoint(int64_t t) const {
    const int64_t slot = sequence.first_token / kWkv7Chunk + row + t / kWkv7Chunk;
    return (slot * heads + head) * value_size * key_size;
  }

 private:
  __device__ int64_t token(int64_t t) const { return (sequence.first_token + t) * heads + head; }
};

struct Wkv7Batch {
  Wkv7Inputs in;
  Sequences sequences;
  const void* state_before;  // null: zeros

  __device__ Wkv7Head head(int64_t i) const {
    const int64_t row = i / in.heads;
    return {sequences[row], row, i % in.heads, in.heads, in.key_size, in.value_size};
  }
};

// What one instruction loads or stores.
template <class acc_t>
struct alignas(16) Wkv7Vector {
  static constexpr int kSize = 16 / sizeof(acc_t);
  acc_t value[kSize];
};
template <class acc_t>
__device__ inline Wkv7Vector<acc_t> load_vector(const acc_t* from) {
  return *reinterpret_cast<const Wkv7Vector<acc_t>*>(from);
}

// Starts to bring `rows` rows of `size` elements, at most kSize, `stride` apart, to rows kToStride apart in shared
// memory.
template <int kSize, int kToStride = kSize, class T>
__device__ void fetch_rows(T* to, const T* from, int64_t stride, int rows, int size) {
  constexpr int kElements = 16 / sizeof(T), kVectors = kSize / kElements;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  if (size % kElements == 0 && stride % kElements == 0 && reinterpret_cast<uintptr_t>(from) % 16 == 0) {
    for (int i = thread; i < rows * kVectors; i += threads) {
      const int row = i / kVectors, column = i % kVectors * kElements;
      if (column < size) copy_async_16(to + row * kToStride + column, from + row * stride + column);
    }
  } else {
    for (int i = thread; i < rows * kSize; i += threads) {
      const int row = i / kSize, column = i % kSize;
      if (column < size) to[row * kToStride + column] = from[row * stride + column];
    }
  }
}

// Rows of up to kTokens tokens of a head in shared memory, fp32 (fp64 for fp64), the next ones on their way behind
// them. What is beyond the tokens or the keys of the head is zero, its decay factor one: it changes no sum and no
// state.
template <class io_t, int kKeys, int kTokens>
struct Wkv7Tile {
  using acc_t = accumulate_t<io_t>;
  static constexpr int kStride = kKeys + Wkv7Vector<acc_t>::kSize;  // rows begin in different banks
  static constexpr int kRows = kTokens * kStride, kRaw = kTokens * kKeys;

  acc_t *a, *r, *d, *k, *b;  // [kTokens][kStride], one behind the other; d: the factors

  static constexpr int kBytes = 5 * kRows * sizeof(acc_t);
  static constexpr int kRawBytes = kRaw * (4 * sizeof(io_t) + sizeof(acc_t));

  __device__ explicit Wkv7Tile(char* shared) {
    a = reinterpret_cast<acc_t*>(shared);
    r = a + kRows;
    d = r + kRows;
    k = d + kRows;
    b = k + kRows;
  }

  // To be followed by commit_copies().
  __device__ static void fetch(char* raw, const Wkv7Inputs& in, const Wkv7Head& head, int64_t first, int tokens) {
    const int64_t from = head.keys(first), stride = in.heads * in.key_size;
    const int size = static_cast<int>(in.key_size);
    io_t* to = reinterpret_cast<io_t*>(raw);
    const auto fetch_one = [&](const void* rows) {
      fetch_rows<kKeys>(to, static_cast<const io_t*>(rows) + from, stride, tokens, size);
      to += kRaw;
    };
    fetch_one(in.r);
    fetch_one(in.k);
    fetch_one(in.a);
    fetch_one(in.b);
    if (in.decay.float_w) {
      fetch_rows<kKeys>(reinterpret_cast<float*>(to), static_cast<const float*>(in.decay.w) + from, stride, tokens,
                        size);
    } else {
      fetch_one(in.decay.w);
    }
  }
  // After wait_for_copies and a barrier; to be followed by one.
  __device__ void take(const char* raw, const Wkv7Inputs& in, int tokens) const {
    const auto* const from = reinterpret_cast<const io_t*>(raw);
    const DecayInput decay{from + 4 * kRaw, in.decay.float_w, in.decay.log_decay};
    for (int i = static_cast<int>(threadIdx.x); i < kRaw; i += static_cast<int>(blockDim.x)) {
      const int token = i / kKeys, key = i % kKeys, to = token * kStride + key;
      const bool inside = token < tokens && key < in.key_size;
      r[to] = inside ? static_cast<acc_t>(from[i]) : 0;
      k[to] = inside ? static_cast<acc_t>(from[i + kRaw]) : 0;
      a[to] = inside ? static_cast<acc_t>(from[i + 2 * kRaw]) : 0;
      b[to] = inside ? static_cast<acc_t>(from[i + 3 * kRaw]) : 0;
      d[to] = inside ? load_decay<io_t>(decay, i).factor : 1;
    }
  }
};

}  // namespace wkv::cuda
