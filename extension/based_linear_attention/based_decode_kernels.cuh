// _based_decode_ on the GPU: one token of a head by a block, in place on the packed state of its slot. The state, kv
// [F, dv] and k [F], is read once and written once; it is all there is to move. Features are in the order that they
// have in memory: 1, x_i / d^(1/4), x_i x_j / sqrt(2 d) for i <= j.
#pragma once
#include <limits>

#include "core/cuda/platform.cuh"

namespace wkv::cuda {

inline constexpr int kBasedDecodeWarps = 16, kBasedDecodeThreads = 32 * kBasedDecodeWarps;

struct BasedDecodeCall {
  int64_t heads, slots, kv_stride, k_stride;  // states in the pools; elements from a slot to the next
  int size, values;                           // d, dv
  double single, pair, eps;                   // factors of the features; of the normaliser
};

template <class acc_t>
__device__ void multiply_distinct_pairs(const BasedDecodeCall& call, const acc_t* x, acc_t twice, acc_t* features) {
  const int size = call.size;
  if (threadIdx.x == 0) features[0] = 1;
  for (int i = threadIdx.x; i < size; i += kBasedDecodeThreads) {
    features[1 + i] = x[i] * static_cast<acc_t>(call.single);
  }
  for (int pair = threadIdx.x; pair < size * size; pair += kBasedDecodeThreads) {
    const int i = pair / size, j = pair % size;
    if (i > j) continue;
    const acc_t product = x[i] * static_cast<acc_t>(call.pair) * x[j];
    features[1 + size + i * (2 * size - 1 - i) / 2 + j] = i == j ? product : twice * product;
  }
}

// A slot outside of the pools is not touched, and y is NaN there.
template <class io_t, class acc_t = accumulate_t<io_t>>
__global__ void __launch_bounds__(kBasedDecodeThreads)
    based_decode_kernel(BasedDecodeCall call, const io_t* q, const io_t* k, const io_t* v, acc_t* kv_pool,
                        acc_t* k_pool, const int64_t* slots, io_t* y) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const int size = call.size, values = call.values, features = (size + 1) * (size + 2) / 2;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t task = blockIdx.x, slot = slots[task / call.heads], head = task % call.heads;
  io_t* const y_row = y + task * values;
  if (slot < 0 || slot >= call.slots) {
    for (int c = threadIdx.x; c < values; c += kBasedDecodeThreads) y_row[c] = static_cast<io_t>(kNaN);
    return;
  }
  acc_t* const q_elements = reinterpret_cast<acc_t*>(shared_memory());  // [size]
  acc_t* const k_elements = q_elements + size;                          // [size]
  acc_t* const q_features = k_elements + size;                          // [features]
  acc_t* const k_features = q_features + features;                      // [features]
  acc_t* const partial = k_features + features;                         // [kBasedDecodeWarps][values + 1]

  for (int i = threadIdx.x; i < size; i += kBasedDecodeThreads) {
    q_elements[i] = static_cast<acc_t>(q[task * size + i]);
    k_elements[i] = static_cast<acc_t>(k[task * size + i]);
  }
  __syncthreads();
  multiply_distinct_pairs(call, q_elements, acc_t{2}, q_features);  // a pair stands for (i, j) and (j, i)
  multiply_distinct_pairs(call, k_elements, acc_t{1}, k_features);
  __syncthreads();

  acc_t* const k_state = k_pool + slot * call.k_stride + head * features;
  acc_t z = 0;
  for (int p = threadIdx.x; p < features; p += kBasedDecodeThreads) {
    const acc_t sum = k_state[p] + k_features[p];
    k_state[p] = sum;
    z += sum * q_features[p];
  }
  z = warp_sum(z);
  if (lane == 0) partial[warp * (values + 1) + values] = z;

  acc_t* const kv_state = kv_pool + slot * call.kv_stride + head * features * values;
  for (int c = lane; c < values; c += 32) {
    const acc_t value = static_cast<acc_t>(v[task * values + c]);
    acc_t sum = 0;
#pragma unroll 4
    for (int p = warp; p < features; p += kBasedDecodeWarps) {
      const acc_t s = kv_state[p * values + c] + k_features[p] * value;
      kv_state[p * values + c] = s;
      sum += s * q_features[p];
    }
    partial[warp * (values + 1) + c] = sum;
  }
  __syncthreads();
  for (int c = threadIdx.x; c < values; c += kBasedDecodeThreads) {
    acc_t sum = 0, normaliser = static_cast<acc_t>(call.eps);
    for (int w = 0; w < kBasedDecodeWarps; ++w) {
      sum += partial[w * (values + 1) + c];
      normaliser += partial[w * (values + 1) + values];
    }
    y_row[c] = static_cast<io_t>(sum / normaliser);
  }
}

}  // namespace wkv::cuda
