// Small matrices in scratch memory, and their products. To be included by *_isa.cpp files only.
#pragma once
#include "core/simd/rows.h"

namespace wkv::WKV_ISA {

// The left factor: its single elements are read, so that any strides will do.
template <class acc_t>
struct LeftFactor {
  const acc_t* data;
  int64_t row, depth;  // element (i, k) is data[i * row + k * depth]

  LeftFactor at(int64_t i, int64_t k) const { return {data + i * row + k * depth, row, depth}; }
};

// The right factor and the product: rows of whole vectors.
template <class acc_t>
struct Matrix {
  acc_t* data;
  int64_t stride;

  acc_t* operator[](int64_t i) const { return data + i * stride; }
};

enum class Into { kZero, kSum };  // whether c is overwritten or added to

// c[i][j] (+)= sum of a(i, k) b[k][j] over k < depth, at least one, for kRows rows and kVectors vectors of columns.
template <int kRows, int kVectors, Into kInto, class acc_t>
inline void multiply_block(LeftFactor<acc_t> a, const acc_t* b, int64_t b_stride, int64_t depth, acc_t* c,
                           int64_t c_stride) {
  constexpr int W = kLanes<acc_t>;
  using V = Vec<acc_t>;
  V sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[i][v] = kInto == Into::kZero ? V{} : load(c + i * c_stride + v * W);
  }
  do {
    V right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = load(b + v * W);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V left = broadcast(a.data[i * a.row]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] = fma(left, right[v], sum[i][v]);
    }
    b += b_stride;
    a.data += a.depth;
  } while (--depth > 0);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(c + i * c_stride + v * W, sum[i][v]);
  }
}

// Rows i, ..., rows - 1, kRows at a time; what is left, half as many at a time.
template <int kRows, int kVectors, Into kInto, class acc_t>
inline void multiply_rows(int64_t i, int64_t rows, LeftFactor<acc_t> a, const acc_t* b, int64_t b_stride, int64_t depth,
                          acc_t* c, int64_t c_stride) {
  for (; i + kRows <= rows; i += kRows) {
    multiply_block<kRows, kVectors, kInto>(a.at(i, 0), b, b_stride, depth, c + i * c_stride, c_stride);
  }
  if constexpr (kRows > 1) multiply_rows<kRows / 2, kVectors, kInto>(i, rows, a, b, b_stride, depth, c, c_stride);
}

// The same for any number of rows, and `columns` columns: a whole number of vectors.
template <Into kInto, class acc_t>
inline void multiply(int64_t rows, LeftFactor<acc_t> a, Matrix<acc_t> b, int64_t depth, int64_t columns,
                     Matrix<acc_t> c) {
  for_column_blocks<acc_t>(columns, [&](int64_t j, auto vectors) {
    constexpr int kVectors = decltype(vectors)::value;
    constexpr int kRows = kVectors == 1 ? 8 : 4;  // what the registers hold, and enough to keep the multipliers busy
    multiply_rows<kRows, kVectors, kInto>(0, rows, a, b.data + j, b.stride, depth, c.data + j, c.stride);
  });
}

struct Range {
  int64_t begin, end;
};

// c[i][j] += sum of a(i, k) b[k][j] over the k of range(i), which moves up with i. Of b nothing else is read: what a
// row must not see can't reach it, not even as 0 * NaN.
template <class acc_t, class RangeOfRow>
inline void multiply_band(int64_t rows, LeftFactor<acc_t> a, Matrix<acc_t> b, int64_t columns, Matrix<acc_t> c,
                          const RangeOfRow& range) {
  for_column_blocks<acc_t>(columns, [&](int64_t j, auto vectors) {
    constexpr int kVectors = decltype(vectors)::value, kRows = 4;
    const auto add_row = [&](int64_t i, int64_t begin, int64_t end) {
      if (begin < end) {
        multiply_block<1, kVectors, Into::kSum>(a.at(i, begin), b[begin] + j, b.stride, end - begin, c[i] + j,
                                                c.stride);
      }
    };
    int64_t i = 0;
    for (; i + kRows <= rows; i += kRows) {
      const int64_t begin = range(i + kRows - 1).begin, end = range(i).end;  // what all of these rows see
      if (begin < end) {
        multiply_block<kRows, kVectors, Into::kSum>(a.at(i, begin), b[begin] + j, b.stride, end - begin, c[i] + j,
                                                    c.stride);
      }
      for (int64_t r = i; r < i + kRows; ++r) {
        const Range own = range(r);
        if (begin < end) {
          add_row(r, own.begin, begin);
          add_row(r, end, own.end);
        } else {
          add_row(r, own.begin, own.end);
        }
      }
    }
    for (; i < rows; ++i) add_row(i, range(i).begin, range(i).end);
  });
}

// The rows of `size` elements of n tokens, `stride` apart, times `scale`, as rows of whole vectors; zeros for the
// tokens n, ..., tokens - 1.
template <class io_t, class acc_t>
inline void load_matrix(const io_t* from, int64_t stride, int64_t n, int64_t size, acc_t scale, int64_t tokens,
                        acc_t* to) {
  const int64_t width = padded<acc_t>(size);
  for (int64_t t = 0; t < n; ++t) load_row(from + t * stride, size, to + t * width);
  for (int64_t i = 0; i < n * width; ++i) to[i] *= scale;
  for (int64_t i = n * width; i < tokens * width; ++i) to[i] = 0;
}

// 0, 1, ..., W - 1.
template <class acc_t>
inline Vec<acc_t> lane_numbers() {
  Vec<acc_t> lanes;
  for (int i = 0; i < kLanes<acc_t>; ++i) lanes[i] = static_cast<acc_t>(i);
  return lanes;
}

}  // namespace wkv::WKV_ISA
