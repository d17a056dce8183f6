// wkv4 on raw pointers: what the tensor entries (wkv4_cpu.cpp, wkv4_decode_cpu.cpp) ask of the kernels (*_isa.cpp).
//
//   y_t = (e^(p-q) a + e^(u+k-q) v) / (e^(p-q) b + e^(u+k-q)),   q = max(p, u + k)
//   p' = max(p + w, k),   a' = e^(p+w-p') a + e^(k-p') v,   b' = e^(p+w-p') b + e^(k-p')
//
// for each channel, with the log decay w = -exp(raw w). A state is the rows a, b, p.
// Cost of a token of a channel: forward two exps, one division and some 15 operations more, and of memory k, v and y;
// backward three to four exps, and k and v (twice where the sequence is longer than a chunk), dy, dk and dv.
#pragma once
#include "core/cpu_features.h"
#include "core/io_type.h"
#include "core/parameter_row.h"

namespace wkv {

struct Wkv4Inputs {
  ParameterRow w, u;  // [channels]
  const void *k, *v;  // [tokens, channels]
  int64_t channels;
};

// The tokens first_token, ..., first_token + length - 1. States are [3, channels], fp32 or fp64.
struct Wkv4Sequence {
  int64_t first_token, length;
  const void* state_before;  // null: the empty state
};

struct Wkv4Outputs {
  void* y;            // [tokens, channels]
  void* state_after;  // of the sequence; may be state_before
};

struct Wkv4Gradients {
  const void* y;            // dL/dy [tokens, channels]
  const void* state_after;  // dL/d(state after) of the sequence
  void *k, *v;
  void* state_before;  // null: not wanted
  void *w, *u;         // [channels] of the accumulation type: what a sequence contributes is added
};

struct Wkv4Kernels {
  // Fills the scratch for the forwards or backwards of a range of channels, which keep what it says of w and u.
  void (*start)(const Wkv4Inputs&, ChannelRange, void* scratch);
  void (*forward)(const Wkv4Inputs&, const Wkv4Sequence&, const Wkv4Outputs&, ChannelRange, void* scratch);
  void (*backward)(const Wkv4Inputs&, const Wkv4Sequence&, const Wkv4Gradients&, ChannelRange, void* scratch);
  // Bytes of scratch, to be aligned to 64.
  int64_t (*forward_scratch)(int64_t channels);
  int64_t (*backward_scratch)(int64_t channels, int64_t longest);
  // The sum of `rows` rows of gradients of a parameter.
  void (*sum_gradients)(const void* parts, int64_t rows, int64_t channels, bool is_float, void* gradient);
};

struct Wkv4KernelTable {
  Wkv4Kernels of[kIoTypes];  // indexed by the IoType of k, v and y
};

WKV_ISA_TABLE(Wkv4KernelTable, wkv4_kernels)

}  // namespace wkv
