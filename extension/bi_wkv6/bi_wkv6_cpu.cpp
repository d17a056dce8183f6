// bi_wkv6 and its backward on the CPU: checks, outputs, and the division of the work among threads. The arithmetic is
// in the *_isa files.
#include "bi_wkv6/bi_wkv6.h"
#include "bi_wkv6/bi_wkv6_check.h"
#include "core/head_tasks.h"
#include "core/parameter_gradient.h"
#include "wkv6/wkv6_call.h"

namespace wkv {
namespace {

Tensor bi_wkv6_cpu(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u) {
  check_bi_wkv6("bi_wkv6", r, k, v, w, u);
  const Wkv6Call call("bi_wkv6", Decay::kPerToken, {r, k, v, w, u, std::nullopt, std::nullopt, false});
  const BiWkv6Kernels& kernels = bi_wkv6_kernels().of[static_cast<int>(io_type(r))];
  Tensor y = new_empty(call.v, call.v.sizes());
  void* const outputs = y.mutable_data_ptr();
  const int64_t T = call.r.size(1);
  for_head_parts(call.sequences, call.sizes, kWkv6ColumnBlock, std::max<int64_t>(T, 1),
                 kernels.forward_scratch(call.inputs, T), [&](const HeadPart& part, void* scratch) {
                   kernels.forward(call.inputs, call.sequence(part.row, part.head), outputs, part.first_value,
                                   part.last_value, scratch);
                 });
  return y;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> bi_wkv6_backward_cpu(Tensor grad_y, Tensor r, Tensor k, Tensor v,
                                                                        Tensor w, Tensor u) {
  check_bi_wkv6("_bi_wkv6_backward", r, k, v, w, u);
  check_bi_wkv6_gradient("_bi_wkv6_backward", grad_y, r, v);
  const Wkv6Call call("_bi_wkv6_backward", Decay::kPerToken, {r, k, v, w, u, std::nullopt, std::nullopt, false});
  const BiWkv6Kernels& kernels = bi_wkv6_kernels().of[static_cast<int>(io_type(r))];
  const Tensor y = as_contiguous(grad_y);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  Tensor grad_r = gradient_of(call.r), grad_k = gradient_of(call.k), grad_v = gradient_of(call.v),
         grad_w = gradient_of(call.w), grad_u = gradient_of(call.u);
  ParameterGradient u_parts(call.doubles(), call.r.size(0), call.sizes.heads * call.sizes.key_size);
  const Wkv6Gradients all{.y = y.const_data_ptr(),
                          .state_after = nullptr,
                          .r = grad_r.mutable_data_ptr(),
                          .k = grad_k.mutable_data_ptr(),
                          .v = grad_v.mutable_data_ptr(),
                          .w = grad_w.mutable_data_ptr(),
                          .u = nullptr,
                          .state_before = nullptr};
  for_heads(call.sequences, call.sizes, kernels.backward_scratch(call.inputs, call.r.size(1)),
            [&](int64_t row, int64_t head, void* scratch) {
              Wkv6Gradients grad = all;
              grad.u = u_parts.part(row, head * call.sizes.key_size);
              kernels.backward(call.inputs, call.sequence(row, head), grad, scratch);
            });
  u_parts.sum_to(grad_u);
  return {grad_r, grad_k, grad_v, grad_w, grad_u};
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("bi_wkv6", TORCH_BOX(&wkv::bi_wkv6_cpu));
  m.impl("_bi_wkv6_backward", TORCH_BOX(&wkv::bi_wkv6_backward_cpu));
}
