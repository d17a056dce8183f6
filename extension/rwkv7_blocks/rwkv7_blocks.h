// What the entries (*_cpu.cpp) ask of the kernels, and the memory that the decoding step gives them.
#pragma once
#include "core/cpu_features.h"
#include "core/phase.h"
#include "packed_linear/packed_linear.h"
#include "wkv/rwkv7_blocks.h"

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
  const rwkv7::Decode& model;
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

struct Rwkv7Kernels {
  // What each thread does; wkv_scratch: its own, so many bytes.
  void (*step)(const Rwkv7DecodeStep&, void* wkv_scratch);
  int64_t (*wkv_scratch)(int64_t head_size);
  // For tokens first, ..., last - 1, or elements. add is done for all tokens before mix is called, which is for those
  // of one sequence, with two rows of C for itself.
  void (*add)(const rwkv7::Mix&, int64_t first, int64_t last);
  void (*mix)(const rwkv7::Mix&, int64_t sequence, int64_t first, int64_t last, float* scratch);
  void (*prepare)(const rwkv7::Prepare&, int64_t first, int64_t last);
  void (*finish)(const rwkv7::Finish&, int64_t first, int64_t last);
  void (*square_relu)(void* x, int64_t first, int64_t last);
};

struct Rwkv7KernelTable {
  Rwkv7Kernels of[3];  // by ParameterType
};

WKV_ISA_TABLE(Rwkv7KernelTable, rwkv7_kernels)

}  // namespace wkv
