// bi_wkv6 on raw pointers: what the tensor entry (bi_wkv6_cpu.cpp) asks of the kernels (bi_wkv6_isa.cpp).
//
//   y_t = r_t (S_t + R_t) + (sum_i r_i u_i k_i) v_t,   S_{t+1} = d_t S_t + k_t v_t,   R_{t-1} = d_t R_t + k_t v_t
//
// S from the left, R from the right: two scans of wkv6 (wkv6/wkv6.h), of which one has the term of u. The outputs and
// the gradients of the first scan are kept in fp32 (fp64) until those of the second are added. Cost: twice wkv6's.
#pragma once
#include "wkv6/wkv6.h"

namespace wkv {

struct BiWkv6Kernels {
  // The values first_value, ..., last_value - 1 of y [tokens, heads, value_size]; first_value is a multiple of
  // kWkv6ColumnBlock.
  void (*forward)(const Wkv6Inputs&, const Wkv6Sequence&, void* y, int64_t first_value, int64_t last_value,
                  void* scratch);
  // Without a state.
  void (*backward)(const Wkv6Inputs&, const Wkv6Sequence&, const Wkv6Gradients&, void* scratch);
  // Bytes of scratch, to be aligned to 64.
  int64_t (*forward_scratch)(const Wkv6Inputs&, int64_t length);
  int64_t (*backward_scratch)(const Wkv6Inputs&, int64_t length);
};

struct BiWkv6KernelTable {
  BiWkv6Kernels of[kIoTypes];  // indexed by the IoType of r, k, v and y
};

WKV_ISA_TABLE(BiWkv6KernelTable, bi_wkv6_kernels)

}  // namespace wkv
