// wkv5, its backward and its decode step on the CPU: wkv6 with a decay that is constant in time.
#include "wkv6/wkv6_call.h"

namespace wkv {
namespace {

std::tuple<Tensor, Tensor> wkv5_cpu(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, OptionalTensor state,
                                    OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv6("wkv5", Decay::kConstant, r, k, v, w, u, state, cu_seqlens);
  return wkv6_forward("wkv5", Decay::kConstant, {r, k, v, w, u, state, cu_seqlens, log_decay});
}

Wkv6GradientTensors wkv5_backward_cpu(Tensor grad_y, Tensor grad_state, Tensor r, Tensor k, Tensor v, Tensor w,
                                      Tensor u, OptionalTensor state, OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv6("_wkv5_backward", Decay::kConstant, r, k, v, w, u, state, cu_seqlens);
  check_matrix_state_gradients("_wkv5_backward", grad_y, grad_state, r, v, cu_seqlens);
  return wkv6_backward("_wkv5_backward", Decay::kConstant, grad_y, grad_state,
                       {r, k, v, w, u, state, cu_seqlens, log_decay});
}

Tensor wkv5_decode_cpu(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor pool, Tensor slots) {
  check_wkv6_decode("wkv5_decode_", Decay::kConstant, r, k, v, w, u, pool, slots);
  return wkv6_decode("wkv5_decode_", Decay::kConstant, {r, k, v, w, u, std::nullopt, std::nullopt, false}, pool, slots);
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("wkv5", TORCH_BOX(&wkv::wkv5_cpu));
  m.impl("_wkv5_backward", TORCH_BOX(&wkv::wkv5_backward_cpu));
  m.impl("wkv5_decode_", TORCH_BOX(&wkv::wkv5_decode_cpu));
}
