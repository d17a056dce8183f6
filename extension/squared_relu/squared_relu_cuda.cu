// _squared_relu and its backward on CUDA.
#include "core/cuda/launch.h"
#include "squared_relu/squared_relu_check.h"
#include "squared_relu/squared_relu_kernels.cuh"

namespace wkv::cuda {
namespace {

constexpr int kThreads = 256;

Tensor squared_relu(Tensor x) {
  check_squared_relu("_squared_relu", x);
  const Device device(x);
  x = as_contiguous(x);
  Tensor y = new_empty(x, x.sizes());
  for_io_type(x, [&](auto io) {
    using io_t = decltype(io);
    for_vector_width<io_t>(x.numel(), {x, y}, [&](auto width) {
      const int64_t vectors = x.numel() / width;
      device.launch(squared_relu_kernel<io_t, width>, device.blocks_for(vectors, kThreads), kThreads, 0,
                    data<const io_t>(x), data<io_t>(y), vectors);
    });
  });
  return y;
}

Tensor squared_relu_backward(Tensor grad_y, Tensor x) {
  check_squared_relu("__squared_relu_backward", x);
  check_squared_relu_gradient("__squared_relu_backward", grad_y, x);
  const Device device(x);
  grad_y = as_contiguous(grad_y);
  x = as_contiguous(x);
  Tensor grad_x = new_empty(x, x.sizes());
  for_io_type(x, [&](auto io) {
    using io_t = decltype(io);
    for_vector_width<io_t>(x.numel(), {grad_y, x, grad_x}, [&](auto width) {
      const int64_t vectors = x.numel() / width;
      device.launch(squared_relu_backward_kernel<io_t, width>, device.blocks_for(vectors, kThreads), kThreads, 0,
                    data<const io_t>(grad_y), data<const io_t>(x), data<io_t>(grad_x), vectors);
    });
  });
  return grad_x;
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("_squared_relu", TORCH_BOX(&wkv::cuda::squared_relu));
  m.impl("__squared_relu_backward", TORCH_BOX(&wkv::cuda::squared_relu_backward));
}
