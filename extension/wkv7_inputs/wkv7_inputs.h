// _wkv7_inputs on raw pointers: what RWKV-7 makes of its products before the recurrence, and the gradients of that.
//
//   w = -e^(-1/2) sigmoid(w0 + decay)             the log decay
//   a = -n,  b = n s,  k' = k (1 + (s - 1) k_a)   with s = sigmoid(a0 + rate), n = k k_k / max(|k k_k|, 1e-12) by heads
//   v' = v + (first_value - v) sigmoid(v0 + residual)
//
// arXiv 2503.14456, equations 3 to 8. Memory of a token: each row once; backward, each row and the gradients once.
// Arithmetic is fp32 (fp64 for fp64), rounded once.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"
#include "core/parameter_row.h"
#include "wkv7/wkv7.h"

namespace wkv {

inline constexpr int kWkv7InputParameters = 5;
inline constexpr double kWkv7LeastLength = 1e-12;               // of k k_k
inline constexpr double kWkv7LogDecay = -0.606530659712633424;  // -e^(-1/2)

struct Wkv7InputsArguments {
  const void *decay, *rate, *k;            // [tokens, heads, head_size]
  ParameterRow w0, a0, k_k, k_a;           // [heads, head_size]
  const void *v, *first_value, *residual;  // as k; null: there is no v
  ParameterRow v0;                         // null: there is no v
  int64_t tokens, heads, head_size;
};

struct Wkv7InputsOutputs {
  void* w;              // [tokens, heads, head_size] of fp32 or fp64
  void *k, *a, *b, *v;  // as k; v null: there is none
};

struct Wkv7InputsGradients {
  const void *w, *k, *a, *b, *v;                              // of the outputs
  void *decay, *rate, *k_in, *v_in, *first_value, *residual;  // of the arguments
  // [heads, head_size] of fp32 or fp64, added to: of w0, a0, k_k, k_a, v0; nothing is added to the last where there is
  // no v.
  void* parameters[kWkv7InputParameters];
};

struct Wkv7InputsKernels {
  // Tokens first, ..., last - 1.
  void (*forward)(const Wkv7InputsArguments&, const Wkv7InputsOutputs&, int64_t first, int64_t last);
  void (*backward)(const Wkv7InputsArguments&, const Wkv7InputsGradients&, int64_t first, int64_t last);
};

struct Wkv7InputsKernelTable {
  Wkv7InputsKernels of[kIoTypes];  // indexed by the IoType of k
};

WKV_ISA_TABLE(Wkv7InputsKernelTable, wkv7_inputs_kernels)

}  // namespace wkv
