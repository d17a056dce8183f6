// What the entry of the decoding step (rwkv7_decode_cpu.cpp) asks of the kernels, and the memory that it gives them.
#pragma once
#include "core/cpu_features.h"
#include "core/phase.h"
#include "packed_linear/packed_linear.h"
#include "wkv/rwkv7_decode.h"

namespace wkv {

inline constexpr int kRwkv7Mixes = 6, kRwkv7LowRanks = 4;
inline constexpr int64_t kRwkv7PhasesOfLayer = 7, kMostDecodeHeadSize = 256;

// Rows of fp32 [inputs][columns], and the same in groups of 8 bits, which products with packed matrices read.
struct DecodeRows {
  float* values;
  PackedGroup* groups;
  int64_t columns;
};

// Rows beyond the batch, up to `inputs`, are there for the products only.
struct Rwkv7DecodeStep {
  const Rwkv7Decode& model;
  const int64_t* slots;
  int64_t batch, inputs;
  float* x;  // [inputs, C]
  DecodeRows mixed[kRwkv7Mixes], gated, ffn_mixed, ffn_hidden;
  float *receptance, *key, *value, *first_value;  // [inputs, C]
  float* hidden[kRwkv7LowRanks];                  // [inputs, rank]
  Phase* phases;                                  // kRwkv7PhasesOfLayer for each layer
  const PackedLinearKernels& packed;
  int64_t threads;
};

struct Rwkv7DecodeKernels {
  // What each thread does; wkv_scratch: its own, so many bytes.
  void (*step[3])(const Rwkv7DecodeStep&, void* wkv_scratch);  // by ParameterType
  int64_t (*wkv_scratch)(int64_t heads, int64_t head_size);
};

WKV_ISA_TABLE(Rwkv7DecodeKernels, rwkv7_decode_kernels)

}  // namespace wkv
