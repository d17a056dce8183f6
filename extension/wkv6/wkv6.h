// wkv6 on raw pointers: what the tensor entries (wkv6_cpu.cpp, and those of wkv5 and bi_wkv6) ask of the kernels
// (*_isa.cpp).
//
//   y_j = sum_i r_i S_ij + (sum_i r_i u_i k_i) v_j,   S_ij <- d_i S_ij + k_i v_j,   d = exp(-exp(w)) or exp(w)
//
// i is the key index (N), j the value index (M). wkv5 is the same with a w that is constant in time.
//
// The kernels take four tokens at once. With S the state before them and, for the tokens l, m = 0..3,
//   r'_l = r_l d_0 ... d_{l-1},   k'_l = k_l d_{l+1} ... d_3,   D = d_0 d_1 d_2 d_3,
//   A_lm = sum_i r_l d_{m+1} ... d_{l-1} k_m for m < l,   A_ll = sum_i r_l u k_l:
//   y_l = r'_l S + sum_{m<=l} A_lm v_m,   S <- D S + sum_l k'_l v_l
// Only products of decays occur, never quotients: exact for decays of any strength. It costs 9/4 N M multiply-adds a
// token instead of 3 N M, and one load and one store of the state for four tokens. The backward costs 5.75 N M more.
// A token of a head moves (3 N + 2 M) elements forward, (6 N + 4 M) backward.
#pragma once
#include <cstdint>

#include "core/cpu_features.h"
#include "core/decay_input.h"
#include "core/io_type.h"

namespace wkv {

struct Wkv6Inputs {
  const void *r, *k, *v;  // [tokens, heads, key_size], v: [tokens, heads, value_size]
  DecayInput decay;       // [tokens, heads, key_size], or, if constant, [heads, key_size]
  bool constant_decay;
  const void* u;  // [heads, key_size]
  bool float_u;   // u is fp32, whatever the io dtype
  int64_t heads, key_size, value_size;
};

// One head of one sequence: tokens first_token, ..., first_token + length - 1. States are [value_size, key_size], fp32
// or fp64.
struct Wkv6Sequence {
  int64_t first_token, length, head;
  const void* state_before;  // null: zeros
};

struct Wkv6Outputs {
  void* y;            // [tokens, heads, value_size]
  void* state_after;  // [value_size, key_size] of the sequence's head
};

struct Wkv6Gradients {
  const void* y;            // dL/dy [tokens, heads, value_size]
  const void* state_after;  // dL/d(state after) of the sequence's head
  void *r, *k, *v;
  void* w;             // as w; of a constant decay, the sequence's part of the sum: [key_size], fp32 or fp64
  void* u;             // the sequence's part of the sum: [key_size], fp32 or fp64
  void* state_before;  // null: not wanted
};

// A part of a forward: tokens begin, ..., end - 1 of the sequence, of which begin is a multiple of kWkv6Block, and
// values first_value, ..., last_value - 1, of which first_value is a multiple of kWkv6ColumnBlock.
struct Wkv6Part {
  int64_t begin, end, first_value, last_value;
};

struct Wkv6Kernels {
  // Parts of the same values follow one another in time, from token 0 to the last, with the same scratch: it carries
  // the state.
  void (*forward)(const Wkv6Inputs&, const Wkv6Sequence&, const Wkv6Outputs&, const Wkv6Part&, void* scratch);
  void (*backward)(const Wkv6Inputs&, const Wkv6Sequence&, const Wkv6Gradients&, void* scratch);
  // Bytes of scratch, to be aligned to 64.
  int64_t (*forward_scratch)(const Wkv6Inputs&);
  int64_t (*backward_scratch)(const Wkv6Inputs&, int64_t length);
  // One token, row `row` of inputs [rows, ...], on a state in place: 5 N M flops and 2 N M elements of state.
  void (*decode)(const Wkv6Inputs&, int64_t row, int64_t head, void* state, void* y);
};

inline constexpr int64_t kWkv6MaxHeadSize = 256;
inline constexpr int64_t kWkv6Block = 4;
inline constexpr int64_t kWkv6ColumnBlock = 16;  // a multiple of the lanes of every instruction set

struct Wkv6KernelTable {
  Wkv6Kernels of[kIoTypes];  // indexed by the IoType of r, k, v and y
};

WKV_ISA_TABLE(Wkv6KernelTable, wkv6_kernels)

}  // namespace wkv
