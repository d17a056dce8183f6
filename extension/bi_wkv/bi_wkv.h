// bi_wkv on raw pointers: what the tensor entries (bi_wkv_cpu.cpp) ask of the kernels (*_isa.cpp).
//
//   y_t = (A_t + C_t + e^(u+k_t) v_t) / (the same with 1 in place of v)
//   A_{t+1} = e^-w A_t + e^(k_t) v_t from the left,   C_{t-1} = e^-w C_t + e^(k_t) v_t from the right
//
// for each channel. Where the exponents of a block of channels allow it, all weights are relative to one key of each
// channel: one exp and one division an element, and some 15 operations; else the sums have exponents of their own: 5
// exps. Backward the same sweeps over the outputs: 1 exp and 1 division, 40 operations; else 9 exps. Memory: k and v
// once where a block's columns fit into the cache, y; backward k, v, dy, dk and dv.
#pragma once
#include "core/cpu_features.h"
#include "core/io_type.h"
#include "core/parameter_row.h"

namespace wkv {

struct BiWkvInputs {
  ParameterRow w, u;  // [channels]
  const void *k, *v;  // [rows of the batch, time, channels]
  int64_t time, channels;
  int64_t compat_chunks;  // 0: the definition; else as the published kernels compute it with so many chunks
  int64_t chunk;          // tokens, all if compat_chunks > 0: of so many is kept what later sweeps need
};

// Some channels of a row of the batch.
struct BiWkvBlock {
  int64_t row;
  ChannelRange range;
};

struct BiWkvGradients {
  const void* y;  // dL/dy [rows, time, channels]
  void *k, *v;
  void *w, *u;  // [channels] of the accumulation type: what a row contributes is added
};

struct BiWkvKernels {
  void (*forward)(const BiWkvInputs&, const BiWkvBlock&, void* y, void* scratch);
  void (*backward)(const BiWkvInputs&, const BiWkvBlock&, const BiWkvGradients&, void* scratch);
  // Bytes of scratch for a block of so many channels, to be aligned to 64.
  int64_t (*forward_scratch)(int64_t time, int64_t chunk, int64_t channels);
  int64_t (*backward_scratch)(int64_t time, int64_t chunk, int64_t channels);
  // The sum of `rows` rows of gradients of a parameter.
  void (*sum_gradients)(const void* parts, int64_t rows, int64_t channels, bool is_float, void* gradient);
};

struct BiWkvKernelTable {
  BiWkvKernels of[kIoTypes];  // indexed by the IoType of k, v and y
};

WKV_ISA_TABLE(BiWkvKernelTable, bi_wkv_kernels)

}  // namespace wkv
