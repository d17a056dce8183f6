// _mix_neighbours on raw pointers: q_shift and all mixes of it, in one reading of x.
//
//   mixed[m]_t = x_t + (x'_t - x_t) (mixes[m] + changes[m]_t),   x' = q_shift(x)
//
// Memory of a token: x some twice (the second time from the cache) and the mixed rows once; backward their gradients
// twice, x twice and grad_x once. Products and sums are fp32 (fp64 for fp64), rounded once.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"
#include "core/parameter_row.h"
#include "q_shift/q_shift_run.h"

namespace wkv {

struct MixNeighboursInputs {
  const void* x;        // [tokens, channels]
  ParameterRow mixes;   // [count, channels]
  const void* changes;  // [count, tokens, channels]; null: zeros
  int64_t count, tokens, channels;
  const QShiftRun* runs;  // of the channels
  int64_t run_count;
};

// A token, and how many tokens from it, for each direction of the runs, its neighbour is found, and (backward) the
// token whose neighbour it is; kNoNeighbour for none.
struct MixNeighboursToken {
  int64_t index;
  const int64_t* neighbour;
  const int64_t* neighbour_of = nullptr;
};

struct MixNeighboursGradients {
  const void* mixed;  // dL/dmixed [count, tokens, channels]
  void *x, *changes;  // as in the inputs; changes null: not wanted
  void* mixes;        // [count, channels] of fp32 or fp64, added to
};

struct MixNeighboursKernels {
  void (*forward)(const MixNeighboursInputs&, const MixNeighboursToken&, void* mixed);
  void (*backward)(const MixNeighboursInputs&, const MixNeighboursToken&, const MixNeighboursGradients&);
};

struct MixNeighboursKernelTable {
  MixNeighboursKernels of[kIoTypes];  // indexed by the IoType of x
};

WKV_ISA_TABLE(MixNeighboursKernelTable, mix_neighbours_kernels)

}  // namespace wkv
