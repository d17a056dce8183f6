// One step of wkv6 (wkv5) on a state [value, key] in place: the key along the lanes, so that the state is read and
// written once as it lies there. 5 N M flops and 8 N M bytes of fp32 state a head.
#pragma once
#include "wkv6/wkv6.h"

namespace wkv {

struct Wkv6DecodeKernels {
  // Token `row` of the inputs [rows, heads, ...], head `head`. state: [value_size, key_size] of that head.
  void (*step)(const Wkv6Inputs&, int64_t row, int64_t head, void* state, void* y);
};

struct Wkv6DecodeKernelTable {
  Wkv6DecodeKernels of[kIoTypes];  // indexed by the IoType of r, k, v and y
};

WKV_ISA_TABLE(Wkv6DecodeKernelTable, wkv6_decode_kernels)

}  // namespace wkv
