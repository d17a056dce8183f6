// wkv5, its backward and its decode step on CUDA: wkv6 with a decay that is constant in time.
#include "wkv6/wkv6_cuda.h"

namespace wkv::cuda {
namespace {

std::tuple<Tensor, Tensor> wkv5(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, OptionalTensor state,
                                OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv6("wkv5", wkv::Decay::kConstant, r, k, v, w, u, state, cu_seqlens);
  return cuda::wkv6_forward("wkv5", wkv::Decay::kConstant, {r, k, v, w, u, state, cu_seqlens, log_decay});
}

Wkv6GradientTensors backward(Tensor grad_y, Tensor grad_state, Tensor r, Tensor k, Tensor v, Tensor w, Tensor u,
                             OptionalTensor state, OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv6("_wkv5_backward", wkv::Decay::kConstant, r, k, v, w, u, state, cu_seqlens);
  check_matrix_state_gradients("_wkv5_backward", grad_y, grad_state, r, v, cu_seqlens);
  return cuda::wkv6_backward("_wkv5_backward", wkv::Decay::kConstant, grad_y, grad_state,
                             {r, k, v, w, u, state, cu_seqlens, log_decay});
}

Tensor decode(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor pool, Tensor slots) {
  check_wkv6_decode("wkv5_decode_", wkv::Decay::kConstant, r, k, v, w, u, pool, slots);
  return cuda::wkv6_decode(wkv::Decay::kConstant, {r, k, v, w, u, std::nullopt, std::nullopt, false}, pool, slots);
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("wkv5", TORCH_BOX(&wkv::cuda::wkv5));
  m.impl("_wkv5_backward", TORCH_BOX(&wkv::cuda::backward));
  m.impl("wkv5_decode_", TORCH_BOX(&wkv::cuda::decode));
}
