// Products of few rows of x with a weight matrix [N, K] as it lies in a checkpoint, on raw pointers: what decoding does
// with each weight, once a token. The bandwidth of the memory is the limit, and one row after another doesn't reach it:
// a kernel reads as many rows side by side as it has sums for, far apart, and asks for each some 2 KB ahead.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"

namespace wkv {

inline constexpr int64_t kThinColumns = 64;  // that rows of x are padded to a multiple of, by zeros
inline constexpr int64_t kThinInputs = 8;    // rows of x at once, at most

// So many rows of x are multiplied together where there are `rows`: 1, 2, 4 or 8. Those that there are not are zeros.
inline int64_t thin_inputs(int64_t rows) {
  int64_t inputs = 1;
  while (inputs < rows && inputs < kThinInputs) inputs *= 2;
  return inputs;
}

struct ThinInputs {
  const float* rows;  // [count][stride]
  int64_t count, stride;
};

struct ThinKernels {
  // y[i * y_stride + n] = the row n of the weights [.., columns] times the row i of x, for first <= n < last. A product
  // has the same bits whatever is multiplied beside it.
  void (*multiply)(const void* weights, int64_t columns, int64_t first, int64_t last, const ThinInputs&, float* y,
                   int64_t y_stride);
  // A row of so many elements to fp32, padded to a whole vector by zeros; and back.
  void (*load_row)(const void* row, int64_t offset, int64_t count, float* to);
  void (*store_row)(const float* from, int64_t count, void* row, int64_t offset);
};

struct ThinKernelTable {
  ThinKernels of[kIoTypes];  // there is none for fp64
};

WKV_ISA_TABLE(ThinKernelTable, thin_kernels)

}  // namespace wkv
