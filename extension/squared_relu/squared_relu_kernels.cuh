// _squared_relu on the GPU: see squared_relu.h. A thread computes neighbouring elements, 16 bytes of them where the
// tensors are aligned.
#pragma once
#include "core/cuda/vector.cuh"

namespace wkv::cuda {

template <class acc_t>
__device__ inline acc_t rectified(acc_t x) {
  return x < 0 ? acc_t{0} : x;  // NaN stays
}

template <class io_t, int kWidth>
__global__ void squared_relu_kernel(const io_t* x, io_t* y, int64_t vectors) {
  using acc_t = accumulate_t<io_t>;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < vectors; i += stride) {
    Vector<io_t, kWidth> values = load_vector<kWidth>(x + i * kWidth);
    for (auto& value : values.value) {
      const acc_t r = rectified(static_cast<acc_t>(value));
      value = static_cast<io_t>(r * r);
    }
    store_vector(y + i * kWidth, values);
  }
}

template <class io_t, int kWidth>
__global__ void squared_relu_backward_kernel(const io_t* grad_y, const io_t* x, io_t* grad_x, int64_t vectors) {
  using acc_t = accumulate_t<io_t>;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < vectors; i += stride) {
    Vector<io_t, kWidth> values = load_vector<kWidth>(x + i * kWidth);
    const Vector<io_t, kWidth> grads = load_vector<kWidth>(grad_y + i * kWidth);
    for (int j = 0; j < kWidth; ++j) {
      const acc_t slope = 2 * rectified(static_cast<acc_t>(values.value[j]));
      values.value[j] = static_cast<io_t>(slope * static_cast<acc_t>(grads.value[j]));
    }
    store_vector(grad_x + i * kWidth, values);
  }
}

}  // namespace wkv::cuda
