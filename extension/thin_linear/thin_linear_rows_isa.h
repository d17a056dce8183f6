// The products of thin_linear.h. To be included by *_isa.cpp files only.
#pragma once
#include "core/simd/rows.h"
#include "thin_linear/thin_linear.h"

namespace wkv::WKV_ISA {

// A vector's lanes hold the sums of kRows rows of the weights times kInputs rows of x, so that one fold makes them all.
// More than 8 rows side by side are slower.
template <class io_t, int kInputs>
void multiply_thin(const io_t* weights, int64_t columns, int64_t first, int64_t last, const ThinInputs& x, float* y,
                   int64_t y_stride) {
  constexpr int W = kLanes<float>, kRows = W / kInputs < 8 ? W / kInputs : 8,
                kLineVectors = 64 / (W * static_cast<int>(sizeof(io_t)));
  constexpr int64_t kAhead = 2048;
  static_assert(kLineVectors > 0);
  const int64_t count = last - first, apart = (count + kRows - 1) / kRows, whole = columns / (W * kLineVectors);
  for (int64_t i = 0; i < apart; ++i) {
    const io_t* row[kRows];
    for (int r = 0; r < kRows; ++r) {
      const int64_t n = r * apart + i;  // beyond the last, that one once more
      row[r] = weights + (first + (n < count ? n : count - 1)) * columns;
    }
    Vec<float> sums[W] = {};
    const auto add = [&](int64_t k, int r, Vec<float> weight) {
#pragma GCC unroll 16
      for (int j = 0; j < kInputs; ++j) {
        sums[r * kInputs + j] = fma(weight, load(x.rows + j * x.stride + k), sums[r * kInputs + j]);
      }
    };
    int64_t k = 0;
    for (int64_t line = 0; line < whole; ++line) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        __builtin_prefetch(reinterpret_cast<const char*>(row[r] + k) + kAhead);
#pragma GCC unroll 4
        for (int v = 0; v < kLineVectors; ++v) add(k + v * W, r, load_as(row[r] + k + v * W));
      }
      k += W * kLineVectors;
    }
    for (; k < columns; k += W) {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) add(k, r, load_part(row[r], k, columns));
    }
    const Vec<float> products = sums_of_rows(sums);
    for (int r = 0; r < kRows && r * apart + i < count; ++r) {
      for (int j = 0; j < kInputs; ++j) y[j * y_stride + first + r * apart + i] = products[r * kInputs + j];
    }
  }
}

template <class io_t>
void multiply_thin_rows(const void* weights, int64_t columns, int64_t first, int64_t last, const ThinInputs& x,
                        float* y, int64_t y_stride) {
  const auto* const rows = static_cast<const io_t*>(weights);
  if constexpr (kLanes<float> < kThinInputs) {
    if (x.count == kThinInputs) {  // more than a vector has lanes
      constexpr int64_t kHalf = kThinInputs / 2;
      const ThinInputs upper{x.rows + kHalf * x.stride, kHalf, x.stride};
      multiply_thin<io_t, kHalf>(rows, columns, first, last, x, y, y_stride);
      return multiply_thin<io_t, kHalf>(rows, columns, first, last, upper, y + kHalf * y_stride, y_stride);
    }
  } else if (x.count == kThinInputs) {
    return multiply_thin<io_t, kThinInputs>(rows, columns, first, last, x, y, y_stride);
  }
  switch (x.count) {
    case 1:
      return multiply_thin<io_t, 1>(rows, columns, first, last, x, y, y_stride);
    case 2:
      return multiply_thin<io_t, 2>(rows, columns, first, last, x, y, y_stride);
    default:
      return multiply_thin<io_t, 4>(rows, columns, first, last, x, y, y_stride);
  }
}

}  // namespace wkv::WKV_ISA
