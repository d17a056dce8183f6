// What the models hand to their decoding steps on raw pointers (wkv/rwkv4_blocks.h, wkv/rwkv7_blocks.h). Internal.
#pragma once
#include <cstdint>

namespace wkv {

// Where the memory is. What works on CUDA's does so on the current device and on PyTorch's current stream of it.
enum class DeviceKind { kCpu, kCuda };

// How the parameters are kept that are no large matrices.
enum class ParameterType { kFloat, kBFloat16, kHalf };

// A weight matrix [rows, columns]: contiguous, of the parameters' type; or what _pack_linear made, then with the bytes
// of a packed row.
struct DecodeMatrix {
  const void* data = nullptr;
  int64_t rows = 0, columns = 0;
  int64_t packed_row_bytes = 0;  // 0: not packed
};

// The pools of a layer's states: shifts [C] of the parameters' type, wkv fp32; strides between slots in elements.
struct DecodeStates {
  int64_t slots;
  void *att_shift, *ffn_shift;
  float* wkv;
  int64_t att_shift_stride, ffn_shift_stride, wkv_stride;
};

// A step is for so many sequences at most.
inline constexpr int64_t kMostDecodeRows = 32;

}  // namespace wkv
