// What the entry of RWKV-4's decoding step (decode_cpu.cpp) asks of the kernels, and the memory that it gives them.
#pragma once
#include "core/cpu_features.h"
#include "decode_step/decode_step.h"
#include "wkv/rwkv4_blocks.h"

namespace wkv {

inline constexpr int kRwkv4Mixes = 3;
inline constexpr int64_t kRwkv4PhasesOfLayer = 8;

struct Rwkv4DecodeStep : DecodeStep {
  const rwkv4::Decode& model;
  DecodeRows mixed[kRwkv4Mixes], gated, ffn_mixed[2], ffn_hidden;
  float *key, *value, *receptance;  // [inputs, C]
};

struct Rwkv4KernelTable {
  void (*step[3])(const Rwkv4DecodeStep&);  // what each thread does; by ParameterType
};

WKV_ISA_TABLE(Rwkv4KernelTable, rwkv4_kernels)

// rwkv4::Functions on the CPU.
bool rwkv4_can_decode_cpu(const rwkv4::Decode& model);
void rwkv4_decode_cpu(const rwkv4::Decode& model, const int64_t* slots, int64_t batch, float* x);

}  // namespace wkv
