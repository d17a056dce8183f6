// sliding_window_attention on raw pointers: what the tensor entries (*_cpu.cpp) ask of the kernels (*_isa.cpp).
//
//   y_i = sum_j p_ij v_j,   p_i = softmax over i - keys_back <= j <= i of scale q_i . k_j
//
// Keys are counted from the first row of the past: row n is past row n for n < P, else token n - P; query i is at row
// P + i. The first rows of the past may be not real: no query sees them.
// Cost of a token of a head that sees W keys: 4 W D flops forward, 14 W D backward (the scores and their gradients are
// computed twice rather than kept). Memory: q, k, v once for each tile of queries, y once.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"

namespace wkv {

struct WindowInputs {
  const void *q, *k, *v;  // [tokens, heads, head_size]
  int64_t heads, head_size, keys_back;
  double scale;
};

// One head of one sequence: tokens first_token, ..., first_token + length - 1.
struct WindowSequence {
  int64_t first_token, length, head;
  const void *past_k, *past_v;  // [past, heads, head_size] of the sequence
  int64_t past, first_real;     // rows first_real, ..., past - 1 are real
};

struct WindowGradients {
  const void* y;                    // dL/dy [tokens, heads, head_size]
  const void *window_k, *window_v;  // dL/d(window) of the sequence: [window, heads, head_size]
  int64_t window;
  void *q, *k, *v;
  void *past_k, *past_v;  // as the past of the sequence; null: not wanted
};

struct WindowKernels {
  // y of the queries first, ..., last - 1, at most kWindowQueries.
  void (*forward)(const WindowInputs&, const WindowSequence&, void* y, int64_t first, int64_t last, void* scratch);
  void (*backward)(const WindowInputs&, const WindowSequence&, const WindowGradients&, void* scratch);
  // Bytes of scratch, to be aligned to 64.
  int64_t (*forward_scratch)(const WindowInputs&);
  int64_t (*backward_scratch)(const WindowInputs&, int64_t rows);  // rows: past and length
};

inline constexpr int64_t kWindowQueries = 64;

struct WindowKernelTable {
  WindowKernels of[kIoTypes];  // indexed by the IoType of q, k, v and y
};

WKV_ISA_TABLE(WindowKernelTable, window_kernels)

}  // namespace wkv
