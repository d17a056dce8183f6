// _squared_relu and its backward on the CPU.
#include "core/stable.h"
#include "squared_relu/squared_relu.h"
#include "squared_relu/squared_relu_check.h"

namespace wkv {
namespace {

constexpr int64_t kWorthwhile = 1 << 15;  // elements to give to a thread at least: some 20 microseconds

const SquaredReluKernels& kernels_for(const Tensor& x) {
  return squared_relu_kernels().of[static_cast<int>(io_type(x))];
}

Tensor squared_relu_cpu(Tensor x) {
  check_squared_relu("_squared_relu", x);
  x = as_contiguous(x);
  Tensor y = new_empty(x, x.sizes());
  const void* const from = x.const_data_ptr();
  void* const to = y.mutable_data_ptr();
  parallel_for(0, x.numel(), kWorthwhile,
               [&](int64_t first, int64_t last) { kernels_for(x).forward(from, to, first, last); });
  return y;
}

Tensor squared_relu_backward_cpu(Tensor grad_y, Tensor x) {
  check_squared_relu("__squared_relu_backward", x);
  check_squared_relu_gradient("__squared_relu_backward", grad_y, x);
  grad_y = as_contiguous(grad_y);
  x = as_contiguous(x);
  Tensor grad_x = new_empty(x, x.sizes());
  const void *const from = x.const_data_ptr(), *const grad = grad_y.const_data_ptr();
  void* const to = grad_x.mutable_data_ptr();
  parallel_for(0, x.numel(), kWorthwhile,
               [&](int64_t first, int64_t last) { kernels_for(x).backward(grad, from, to, first, last); });
  return grad_x;
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("_squared_relu", TORCH_BOX(&wkv::squared_relu_cpu));
  m.impl("__squared_relu_backward", TORCH_BOX(&wkv::squared_relu_backward_cpu));
}
