// short_conv on raw pointers: what the tensor entries (short_conv_cpu.cpp) ask of the kernels (*_isa.cpp).
//
//   z_t = sum_{j < K} w_j x_{t - (K - 1) + j} + bias,   y = z or silu(z) = z / (1 + exp(-z)),   for each channel
//
// What is before the sequence is the state: x_{-K}, ..., x_{-1}, zeros where there is none. The oldest of the K is
// never read; it is there so that a state is the last K inputs.
// Cost of a token of a channel: K multiply-adds forward, 3 K backward (2 K without silu), which hide behind the memory:
// x once and y once; backward x and grad_y once and grad_x once.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"

namespace wkv {

struct ShortConvInputs {
  const void* x;                  // [tokens, channels]
  const void* weight;             // [channels, kernel_size]
  const void* bias;               // [channels]; null: zeros
  bool float_weight, float_bias;  // fp32, whatever the io dtype
  int64_t channels, kernel_size;
  bool silu;
};

// States are [channels, kernel_size], fp32 or fp64.
struct ShortConvSequence {
  int64_t first_token, length;
  const void* state_before;  // null: zeros
};

struct ShortConvOutputs {
  void* y;            // [tokens, channels]
  void* state_after;  // of the sequence
};

struct ShortConvGradients {
  const void* y;            // dL/dy [tokens, channels]
  const void* state_after;  // dL/d(state after) of the first sequence; the others follow
  void *x, *weight;
  void* bias;          // null: not wanted
  void* state_before;  // as state_after; null: not wanted
};

struct ShortConvChannels {
  int64_t first, last;  // at most kShortConvChannels: first, ..., last - 1
};

struct ShortConvKernels {
  void (*forward)(const ShortConvInputs&, const ShortConvSequence&, const ShortConvOutputs&, const ShortConvChannels&,
                  void* scratch);
  // All sequences, one after the other: the gradients of weight and bias are sums over them.
  void (*backward)(const ShortConvInputs&, const ShortConvSequence* sequences, int64_t count, const ShortConvGradients&,
                   const ShortConvChannels&, void* scratch);
  // Bytes of scratch, to be aligned to 64.
  int64_t (*forward_scratch)(const ShortConvInputs&);
  int64_t (*backward_scratch)(const ShortConvInputs&);
};

inline constexpr int64_t kShortConvChannels = 512;

struct ShortConvKernelTable {
  ShortConvKernels of[kIoTypes];  // indexed by the IoType of x and y
};

WKV_ISA_TABLE(ShortConvKernelTable, short_conv_kernels)

}  // namespace wkv
