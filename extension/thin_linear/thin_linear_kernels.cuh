// _thin_linear on the GPU: products of few rows of x with a weight matrix, as a checkpoint has it.
//
//   y[i, n] = sum over k of weight[n, k] x[i, k] + bias[n]
//
// The memory is the limit: each weight is read once for up to kInputs rows of x, 16 bytes at a time. A block takes
// kThinOutputs rows of the matrix and shares their columns among its threads, so that even a small matrix asks for all
// its bytes at once. x is small and comes from the caches. Sums are fp32; their order depends on the columns alone, so
// that a row of x has the same result whatever is beside it.
// Cost: the bytes of the matrix, for each kInputs rows of x.
#pragma once
#include "core/cuda/decay.cuh"
#include "core/cuda/vector.cuh"

namespace wkv::cuda {

struct ThinLinearCall {
  int64_t inputs, outputs, columns;  // inputs: the rows of x; outputs: those of the matrix
  const void* bias;                  // [outputs]; null: zeros
  bool float_bias;                   // fp32, whatever the dtype of x
};

inline constexpr int kThinThreads = 128, kThinOutputs = 4;

inline int64_t thin_linear_blocks(const ThinLinearCall& call, int together) {
  return (call.outputs + kThinOutputs - 1) / kThinOutputs * ((call.inputs + together - 1) / together);
}
inline int64_t thin_linear_shared(int together) {
  return kThinThreads / 32 * kThinOutputs * together * int64_t{sizeof(float)};
}

// weight: [outputs, columns], x: [inputs, columns], y: [inputs, outputs]; columns is a multiple of kColumns.
template <class weight_t, class x_t, int kColumns, int kInputs>
__global__ void thin_linear_kernel(ThinLinearCall call, const weight_t* __restrict__ weight, const x_t* __restrict__ x,
                                   x_t* __restrict__ y) {
  // Blocks that read the same weights are neighbours.
  const int64_t groups = (call.inputs + kInputs - 1) / kInputs, first_input = blockIdx.x % groups * kInputs,
                first_output = blockIdx.x / groups * kThinOutputs, inputs_left = call.inputs - first_input;
  float sum[kThinOutputs][kInputs] = {};
#pragma unroll(kInputs == 1 ? 2 : 1)
  for (int64_t k = static_cast<int64_t>(threadIdx.x) * kColumns; k < call.columns; k += kThinThreads * kColumns) {
    Vector<weight_t, kColumns> weights[kThinOutputs];
#pragma unroll
    for (int n = 0; n < kThinOutputs; ++n) {
      const int64_t row = first_output + n < call.outputs ? first_output + n : call.outputs - 1;
      weights[n] = load_vector<kColumns>(weight + row * call.columns + k);
    }
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      if (i >= inputs_left) continue;
      const auto values = load_vector<kColumns>(x + (first_input + i) * call.columns + k);
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
#pragma unroll
        for (int n = 0; n < kThinOutputs; ++n) {
          sum[n][i] += static_cast<float>(weights[n].value[c]) * static_cast<float>(values.value[c]);
        }
      }
    }
  }

  auto* const sums = reinterpret_cast<float*>(shared_memory());  // [warps][kThinOutputs][kInputs]
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < kThinOutputs; ++n) {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      if (i >= inputs_left) continue;
      const float of_warp = warp_sum(sum[n][i]);
      if (lane == 0) sums[(warp * kThinOutputs + n) * kInputs + i] = of_warp;
    }
  }
  __syncthreads();
  const int n = threadIdx.x / kInputs, i = threadIdx.x % kInputs;
  const int64_t output = first_output + n;
  if (n >= kThinOutputs || output >= call.outputs || i >= inputs_left) return;
  float total = 0;
  for (int w = 0; w < kThinThreads / 32; ++w) total += sums[(w * kThinOutputs + n) * kInputs + i];
  if (call.bias) total += load_parameter<x_t>(call.bias, call.float_bias, output);
  y[(first_input + i) * call.outputs + output] = static_cast<x_t>(total);
}

}  // namespace wkv::cuda
