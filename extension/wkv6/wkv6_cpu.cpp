// wkv6, wkv5 and their backwards on the CPU: checks, outputs, and the division of the work among threads. The
// arithmetic is in the *_isa files.
#include "core/head_tasks.h"
#include "core/parameter_gradient.h"
#include "wkv6/wkv6_call.h"

namespace wkv {
constexpr int64_t kWkv6TokensInTurn = 16;

std::tuple<Tensor, Tensor> wkv6_forward(const char* op, Decay decay, const Wkv6Arguments& arguments) {
  const Wkv6Call call(op, decay, arguments);
  Tensor y = new_empty(call.v, call.v.sizes());
  Tensor state_after = new_empty(call.v, call.state_shape(), state_type(call.r));
  auto* const states = static_cast<char*>(state_after.mutable_data_ptr());
  void* const outputs = y.mutable_data_ptr();
  for_head_parts(call.sequences, call.sizes, kWkv6ColumnBlock, kWkv6TokensInTurn,
                 call.kernels.forward_scratch(call.inputs), [&](const HeadPart& part, void* scratch) {
                   call.kernels.forward(call.inputs, call.sequence(part.row, part.head),
                                        {outputs, call.state_of(states, part.row, part.head)},
                                        {part.begin, part.end, part.first_value, part.last_value}, scratch);
                 });
  return {y, state_after};
}

Wkv6GradientTensors wkv6_backward(const char* op, Decay decay, const Tensor& grad_y, const Tensor& grad_state,
                                  const Wkv6Arguments& arguments) {
  const Wkv6Call call(op, decay, arguments);
  const Tensor y = as_contiguous(grad_y), state_after = as_contiguous(grad_state);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  Tensor grad_r = gradient_of(call.r), grad_k = gradient_of(call.k), grad_v = gradient_of(call.v),
         grad_w = gradient_of(call.w), grad_u = gradient_of(call.u);
  Tensor grad_before = call.state ? gradient_of(*call.state) : new_empty(y, {0});
  const int64_t count = static_cast<int64_t>(call.sequences.size()),
                parameters = call.inputs.heads * call.inputs.key_size;
  ParameterGradient u_parts(call.doubles(), count, parameters);
  ParameterGradient w_parts(call.doubles(), decay == Decay::kConstant ? count : 0, parameters);
  const Wkv6Gradients all{.y = y.const_data_ptr(),
                          .state_after = state_after.const_data_ptr(),
                          .r = grad_r.mutable_data_ptr(),
                          .k = grad_k.mutable_data_ptr(),
                          .v = grad_v.mutable_data_ptr(),
                          .w = grad_w.mutable_data_ptr(),
                          .u = nullptr,
                          .state_before = call.state ? grad_before.mutable_data_ptr() : nullptr};

  int64_t scratch_bytes = 0;
  for (const Sequence& sequence : call.sequences) {
    scratch_bytes = std::max(scratch_bytes, call.kernels.backward_scratch(call.inputs, sequence.length));
  }
  for_heads(call.sequences, call.sizes, scratch_bytes, [&](int64_t row, int64_t head, void* scratch) {
    Wkv6Gradients grad = all;
    grad.state_after = call.state_of(static_cast<const char*>(all.state_after), row, head);
    grad.u = u_parts.part(row, head * call.inputs.key_size);
    if (decay == Decay::kConstant) grad.w = w_parts.part(row, head * call.inputs.key_size);
    if (call.state) grad.state_before = call.state_of(static_cast<char*>(all.state_before), row, head);
    call.kernels.backward(call.inputs, call.sequence(row, head), grad, scratch);
  });
  u_parts.sum_to(grad_u);
  if (decay == Decay::kConstant) w_parts.sum_to(grad_w);
  return {grad_r, grad_k, grad_v, grad_w, grad_u, grad_before};
}

namespace {

std::tuple<Tensor, Tensor> wkv6_cpu(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, OptionalTensor state,
                                    OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv6("wkv6", Decay::kPerToken, r, k, v, w, u, state, cu_seqlens);
  return wkv6_forward("wkv6", Decay::kPerToken, {r, k, v, w, u, state, cu_seqlens, log_decay});
}

Wkv6GradientTensors wkv6_backward_cpu(Tensor grad_y, Tensor grad_state, Tensor r, Tensor k, Tensor v, Tensor w,
                                      Tensor u, OptionalTensor state, OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv6("_wkv6_backward", Decay::kPerToken, r, k, v, w, u, state, cu_seqlens);
  check_matrix_state_gradients("_wkv6_backward", grad_y, grad_state, r, v, cu_seqlens);
  return wkv6_backward("_wkv6_backward", Decay::kPerToken, grad_y, grad_state,
                       {r, k, v, w, u, state, cu_seqlens, log_decay});
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("wkv6", TORCH_BOX(&wkv::wkv6_cpu));
  m.impl("_wkv6_backward", TORCH_BOX(&wkv::wkv6_backward_cpu));
}
