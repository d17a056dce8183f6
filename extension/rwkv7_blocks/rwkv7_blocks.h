// What the entries (*_cpu.cpp) ask of the kernels, and the memory that the decoding step gives them.
#pragma once
#include "core/cpu_features.h"
#include "decode_step/decode_step.h"
#include "wkv/rwkv7_blocks.h"

namespace wkv {

inline constexpr int kRwkv7Mixes = 6, kRwkv7LowRanks = 4;
inline constexpr int64_t kRwkv7PhasesOfLayer = 7, kMostDecodeHeadSize = 256;

struct Rwkv7DecodeStep : DecodeStep {
  const rwkv7::Decode& model;
  DecodeRows mixed[kRwkv7Mixes], gated, ffn_mixed, ffn_hidden;
  float *receptance, *key, *value, *first_value;  // [inputs, C]
  float* hidden[kRwkv7LowRanks];                  // [inputs, rank]
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

// rwkv7::Functions on the CPU.
bool rwkv7_can_decode_cpu(const rwkv7::Decode& model);
void rwkv7_decode_cpu(const rwkv7::Decode& model, const int64_t* slots, int64_t batch, float* x);
void rwkv7_mix_cpu(const rwkv7::Mix& in);
void rwkv7_prepare_cpu(const rwkv7::Prepare& in);
void rwkv7_finish_cpu(const rwkv7::Finish& in);
void rwkv7_square_relu_cpu(ParameterType type, void* x, int64_t count);

}  // namespace wkv
