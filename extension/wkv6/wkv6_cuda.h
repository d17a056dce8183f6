// What the tensor entries of wkv6, wkv5 and bi_wkv6 share on CUDA: checked arguments as the kernels want them, and the
// launches.
#pragma once
#include "core/cuda/launch.h"
#include "wkv6/wkv6_call.h"
#include "wkv6/wkv6_task.cuh"

namespace wkv::cuda {

struct Wkv6Tensors {
  Tensor r, k, v, w, u;  // contiguous
  OptionalTensor state;
  Wkv6Inputs inputs;

  // Of sequences, or, without the dimension of time, of a decode step.
  Wkv6Tensors(wkv::Decay decay, const Wkv6Arguments& x);
};

// The number of keys that a kernel is compiled for, as an integral_constant: the smallest that holds the head's.
template <class Run>
void for_wkv6_keys(const Wkv6Inputs& in, const Run& run) {
  if (in.key_size <= 32) return run(std::integral_constant<int, 32>{});
  if (in.key_size <= 64) return run(std::integral_constant<int, 64>{});
  if (in.key_size <= 80) return run(std::integral_constant<int, 80>{});
  if (in.key_size <= 128) return run(std::integral_constant<int, 128>{});
  return run(std::integral_constant<int, 256>{});
}

// The forward, in the form for the shape or in one of the two. The launches divide the values among blocks.
void launch_wkv6(const Device& device, const Wkv6Tensors& x, const Wkv6Grid& grid, const Wkv6Forward& out);
void launch_wkv6_recurrent(const Device& device, const Wkv6Tensors& x, Wkv6Grid grid, const Wkv6Forward& out);
void launch_wkv6_chunked(const Device& device, const Wkv6Tensors& x, Wkv6Grid grid, const Wkv6Forward& out);

// All gradients; that of the state has no elements where there is no state. No grad_state: zeros.
Wkv6GradientTensors wkv6_gradients(const Device& device, const Wkv6Tensors& x, const Wkv6Grid& grid,
                                   const Tensor& grad_y, const OptionalTensor& grad_state);

// The ops, for a decay of each token or a constant one.
std::tuple<Tensor, Tensor> wkv6_forward(const char* op, wkv::Decay decay, const Wkv6Arguments& arguments);
Wkv6GradientTensors wkv6_backward(const char* op, wkv::Decay decay, const Tensor& grad_y, const Tensor& grad_state,
                                  const Wkv6Arguments& arguments);
Tensor wkv6_decode(wkv::Decay decay, const Wkv6Arguments& arguments, const Tensor& pool, const Tensor& slots);

}  // namespace wkv::cuda
