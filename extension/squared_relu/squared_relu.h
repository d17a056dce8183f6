// _squared_relu on raw pointers: y = max(x, 0)^2, dx = 2 max(x, 0) dy; what is no number stays none. Memory: each row
// once.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"

namespace wkv {

struct SquaredReluKernels {
  // Elements first, ..., last - 1.
  void (*forward)(const void* x, void* y, int64_t first, int64_t last);
  void (*backward)(const void* grad_y, const void* x, void* grad_x, int64_t first, int64_t last);
};

struct SquaredReluKernelTable {
  SquaredReluKernels of[kIoTypes];  // indexed by the IoType of x
};

WKV_ISA_TABLE(SquaredReluKernelTable, squared_relu_kernels)

}  // namespace wkv
