// The sequences of a batch as kernels see them: rows of equal length, or what cu_seqlens packs into one row.
#pragma once
#include "core/cuda/platform.cuh"

namespace wkv::cuda {

struct Sequence {
  int64_t first_token, length;
};

struct Sequences {
  const void* bounds;  // [count + 1] on the device; null: rows of row_length tokens
  bool wide;           // int64, else int32
  int64_t count, row_length, tokens;

  // Bounds that lie on the device were not checked: whatever they are, a sequence is within the tokens, and of two
  // sequences none has the tokens of the other.
  __device__ Sequence operator[](int64_t row) const {
    if (!bounds) return {row * row_length, row_length};
    const int64_t first = bound(row), last = bound(row + 1);
    return {first, last > first ? last - first : 0};
  }
  // The sequence that has the token.
  __device__ int64_t row_of(int64_t token) const {
    if (!bounds) return token / row_length;
    int64_t row = 0;
    for (int64_t end = count; row + 1 < end;) {  // bound(row) <= token < bound(end)
      const int64_t middle = (row + end) / 2;
      (bound(middle) <= token ? row : end) = middle;
    }
    return row;
  }

 private:
  __device__ int64_t bound(int64_t i) const {
    const int64_t at = wide ? static_cast<const int64_t*>(bounds)[i] : static_cast<const int32_t*>(bounds)[i];
    return at < 0 ? 0 : at > tokens ? tokens : at;
  }
};

}  // namespace wkv::cuda
