// _mix_tokens on raw pointers: the token shift of the RWKV models and all mixes of it, in one reading of x.
//
//   p_t = x_{t-1}, of the first token what came before the sequence;   mixed[m]_t = x_t + (p_t - x_t) (mix[m] +
//   change[m]_t)
//
// Memory of a token: x once and the mixed rows once; backward their gradients twice (the second time from the cache), x
// once and grad_x once. Products and sums are fp32 (fp64 for fp64), rounded once.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"
#include "core/parameter_row.h"

namespace wkv {

inline constexpr int64_t kMostMixes = 8;

struct MixTokensInputs {
  const void* x;        // [tokens, channels]
  ParameterRow mixes;   // [count, channels]
  const void* changes;  // [count, tokens, channels]; null: zeros
  int64_t count, tokens, channels;
};

// Tokens first, ..., last - 1, neighbours in one sequence.
struct MixTokensRun {
  int64_t first, last;
  const void* before;  // p of the first token
};

struct MixTokensGradients {
  const void* mixed;      // dL/dmixed [count, tokens, channels]
  const void* last;       // dL/dx of the run's last token from the op's other output; null: none
  bool next_in_sequence;  // the token after the run has the run's last one as p
  void *x, *changes;      // as in the inputs; changes null: not wanted
  void* mixes;            // [count, channels] of fp32 or fp64, added to
  void* before;           // dL/d(before) of the run; null: not wanted
};

struct MixTokensKernels {
  void (*forward)(const MixTokensInputs&, const MixTokensRun&, void* mixed);
  void (*backward)(const MixTokensInputs&, const MixTokensRun&, const MixTokensGradients&);
};

struct MixTokensKernelTable {
  MixTokensKernels of[kIoTypes];  // indexed by the IoType of x
};

WKV_ISA_TABLE(MixTokensKernelTable, mix_tokens_kernels)

}  // namespace wkv
