// bi_wkv6 and its backward on CUDA: both scans of wkv6 at once, each into its part, of fp32 or fp64, and the parts'
// sum.
#include "bi_wkv6/bi_wkv6_check.h"
#include "wkv6/wkv6_cuda.h"

namespace wkv::cuda {
namespace {

constexpr int64_t kDirections = 2;

Wkv6Tensors tensors(const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w, const Tensor& u) {
  return {wkv::Decay::kPerToken, {r, k, v, w, u, std::nullopt, std::nullopt, false}};
}

Tensor bi_wkv6(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u) {
  check_bi_wkv6("bi_wkv6", r, k, v, w, u);
  Device device(r);
  const Wkv6Tensors x = tensors(r, k, v, w, u);
  Tensor parts = new_empty(x.v, {kDirections, x.v.numel()}, state_type(x.v));
  launch_wkv6(device, x, {device.sequences("bi_wkv6", r.size(0), r.size(1), std::nullopt), kDirections, 1},
              {.state_before = nullptr,
               .state_after = nullptr,
               .y = parts.mutable_data_ptr(),
               .float_y = parts.scalar_type() == ScalarType::Float,
               .checkpoints = nullptr});
  return sum_of_parts(device, parts, x.v);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> backward(Tensor grad_y, Tensor r, Tensor k, Tensor v, Tensor w,
                                                            Tensor u) {
  check_bi_wkv6("_bi_wkv6_backward", r, k, v, w, u);
  check_bi_wkv6_gradient("_bi_wkv6_backward", grad_y, r, v);
  Device device(r);
  const Wkv6Tensors x = tensors(r, k, v, w, u);
  const Wkv6Grid grid{device.sequences("_bi_wkv6_backward", r.size(0), r.size(1), std::nullopt), kDirections, 1};
  auto [of_r, of_k, of_v, of_w, of_u, of_state] = wkv6_gradients(device, x, grid, as_contiguous(grad_y), std::nullopt);
  return {of_r, of_k, of_v, of_w, of_u};
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("bi_wkv6", TORCH_BOX(&wkv::cuda::bi_wkv6));
  m.impl("_bi_wkv6_backward", TORCH_BOX(&wkv::cuda::backward));
}
