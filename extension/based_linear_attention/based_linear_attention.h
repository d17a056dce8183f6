// based_linear_attention on raw pointers: what the tensor entries (*_cpu.cpp) ask of the kernels (*_isa.cpp).
//
//   y_t = sum_{s <= t} a_ts v_s / (sum_{s <= t} a_ts + eps),   a_ts = 1 + x + x^2 / 2,   x = q_t . k_s / sqrt(d)
//
// a_ts is the inner product of features, and a state sums the features of the past. Of the 1 + d + d^2 features that a
// state has in memory only the F = (d + 1)(d + 2) / 2 distinct ones are computed with: the products x_i x_j, i <= j, of
// the elements of x and a last element 1. Inside the kernels a state is S[p][c] = sum of k_i k_j v_c for the pair
// p = (i, j): all that happens to a value c happens in one vector lane. Tokens are taken a chunk at a time: from before
// the chunk through the state, within the chunk through a_ts itself.
//
// Cost of a token of a head: 2 F dv multiply-adds forward (d = 16, dv = 64: 19.6 thousand), 5 F dv backward; beside
// them, in a chunk of C tokens, C (d + dv) / 2 and 3 C (d + dv) / 2. Memory: q, k, v once, y once; backward: q, k, v,
// grad_y twice and the gradients once.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/io_type.h"

namespace wkv {

struct BasedInputs {
  const void *q, *k, *v;  // [tokens, heads, feature_size], v: [tokens, heads, value_size]
  int64_t heads, feature_size, value_size;
  bool normalize;
  double eps;
};

// The states of one head: kv [value_size, D], k [D], with D = 1 + d + d^2, fp32 or fp64.
template <class Pointer>
struct BasedState {
  Pointer kv, k;
};

// One head of one sequence: tokens first_token, ..., first_token + length - 1.
struct BasedSequence {
  int64_t first_token, length, head;
  BasedState<const void*> before;  // null, each by itself: zeros
};

struct BasedOutputs {
  void* y;  // [tokens, heads, value_size]
  BasedState<void*> after;
};

struct BasedGradients {
  const void* y;                  // dL/dy [tokens, heads, value_size]
  BasedState<const void*> after;  // dL/d(state after)
  void *q, *k, *v;
  BasedState<void*> before;  // null, each by itself: not wanted
};

// Heads from the sequence's on, whose states follow one another, and the values first_value, ..., last_value - 1;
// first_value is a multiple of kBasedColumnBlock.
struct BasedPart {
  int64_t heads, first_value, last_value;
};

struct BasedKernels {
  // y and the states of the part; the k states come with the value 0.
  void (*forward)(const BasedInputs&, const BasedSequence&, const BasedOutputs&, const BasedPart&, void* scratch);
  void (*backward)(const BasedInputs&, const BasedSequence&, const BasedGradients&, void* scratch);
  // Bytes of scratch, to be aligned to 64.
  int64_t (*forward_scratch)(const BasedInputs&, const BasedPart&);
  int64_t (*backward_scratch)(const BasedInputs&, int64_t length);

  // One token of a head, in place on states of the distinct features, in the order that they have in memory: kv
  // [F, value_size], k [F]. Always normalised.
  void (*one_token)(const BasedInputs&, int64_t token, int64_t head, const BasedState<void*>&, void* y, void* scratch);
  int64_t (*one_token_scratch)(const BasedInputs&);
};

inline constexpr int64_t kBasedChunk = 32;
inline constexpr int64_t kBasedColumnBlock = 16;  // a multiple of the lanes of every instruction set

struct BasedKernelTable {
  BasedKernels of[kIoTypes];  // indexed by the IoType of q, k, v and y
};

WKV_ISA_TABLE(BasedKernelTable, based_kernels)

}  // namespace wkv
