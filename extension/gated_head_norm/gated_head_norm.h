// _gated_head_norm on raw pointers: what RWKV-5, 6 and 7 do with the recurrence's output before the last product.
//
//   y = (n * weight + bias + s v) * f(gate),   n = (x - mean) / sqrt(variance + eps) over the N values of a head,
//   s = sum_i r_i k_i bonus_i, where the bonus is given,   f(g) = g or silu(g) = g / (1 + exp(-g))
//
// Memory of a token: each row once; backward, each row and the gradients once. Sums and products are fp32 (fp64 for
// fp64), rounded once.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"
#include "core/parameter_row.h"

namespace wkv {

inline constexpr int64_t kMostNormHeadSize = 256;

struct GatedHeadNormInputs {
  ParameterRow x;             // [tokens, heads, head_size], of the sequences' dtype or fp32
  ParameterRow weight, bias;  // [heads, head_size]
  const void* gate;           // [tokens, heads, head_size], as r, k, v
  const void *r, *k, *v;      // null where there is no bonus
  ParameterRow bonus;         // [heads, head_size]
  int64_t tokens, heads, head_size;
  double eps;
  bool silu;
};

struct GatedHeadNormGradients {
  const void* y;                // dL/dy [tokens, heads, head_size]
  void* x;                      // as in the inputs
  void *gate, *r, *k, *v;       // r, k, v null where there is no bonus
  void *weight, *bias, *bonus;  // [heads, head_size] of fp32 or fp64, added to; bonus null where there is none
};

struct GatedHeadNormKernels {
  // Tokens first, ..., last - 1.
  void (*forward)(const GatedHeadNormInputs&, void* y, int64_t first, int64_t last);
  void (*backward)(const GatedHeadNormInputs&, const GatedHeadNormGradients&, int64_t first, int64_t last);
};

struct GatedHeadNormKernelTable {
  GatedHeadNormKernels of[kIoTypes];  // indexed by the IoType of the gate
};

WKV_ISA_TABLE(GatedHeadNormKernelTable, gated_head_norm_kernels)

}  // namespace wkv
