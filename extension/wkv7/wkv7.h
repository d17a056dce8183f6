// wkv7 on raw pointers: what the tensor entries (wkv7_cpu.cpp) ask of the kernels (*_isa.cpp).
//
//   sa_j = sum_i a_i S_ij,   S_ij <- d_i S_ij + k_i v_j + b_i sa_j,   y_j = sum_i r_i S_ij,   d = exp(-exp(w)) or
//   exp(w)
//
// i is the key index (N), j the value index (M). In memory a state is [value, key]; inside the kernels it is S[i][j],
// so that all that happens to a column j happens in one vector lane, whatever the number of columns a task is given.
// Cost of a token of a head: 5 N M multiply-adds forward, one load and one store of the state; 18 N M backward. Memory:
// each row of the inputs and outputs once; backward, also the states of two times sqrt(T) tokens.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/decay_input.h"
#include "core/io_type.h"

namespace wkv {

inline constexpr int64_t kWkv7MaxHeadSize = 256;

struct Wkv7Inputs {
  const void *r, *k, *v, *a, *b;  // [tokens, heads, key_size], v: [tokens, heads, value_size]
  DecayInput decay;               // [tokens, heads, key_size]
  int64_t heads, key_size, value_size;
};

// One head of one sequence: tokens first_token, ..., first_token + length - 1. States are [value_size, key_size], fp32
// or fp64.
struct Wkv7Sequence {
  int64_t first_token, length, head;
  const void* state_before;  // null: zeros
};

struct Wkv7Outputs {
  void* y;            // [tokens, heads, value_size]
  void* state_after;  // [value_size, key_size] of the sequence's head
};

struct Wkv7Gradients {
  const void* y;            // dL/dy [tokens, heads, value_size]
  const void* state_after;  // dL/d(state after) of the sequence's head
  void *r, *w, *k, *v, *a, *b;
  void* state_before;  // null: not wanted
};

// A part of a forward: tokens begin, ..., end - 1 of the sequence and values first_value, ..., last_value - 1, of which
// first_value is a multiple of kWkv7ColumnBlock.
struct Wkv7Part {
  int64_t begin, end, first_value, last_value;
};

struct Wkv7Kernels {
  // Parts of the same values follow one another in time, from token 0 to the last, with the same scratch: it carries
  // the state. The state after a sequence of one token may be where the state before it is.
  void (*forward)(const Wkv7Inputs&, const Wkv7Sequence&, const Wkv7Outputs&, const Wkv7Part&, void* scratch);
  void (*backward)(const Wkv7Inputs&, const Wkv7Sequence&, const Wkv7Gradients&, void* scratch);
  // Bytes of scratch, to be aligned to 64.
  int64_t (*forward_scratch)(const Wkv7Inputs&);
  int64_t (*backward_scratch)(const Wkv7Inputs&, int64_t length);
};

inline constexpr int64_t kWkv7ColumnBlock = 16;  // a multiple of the lanes of every instruction set

struct Wkv7KernelTable {
  Wkv7Kernels of[kIoTypes];  // indexed by the IoType of r, k, v, a, b and y
};

WKV_ISA_TABLE(Wkv7KernelTable, wkv7_kernels)

}  // namespace wkv
