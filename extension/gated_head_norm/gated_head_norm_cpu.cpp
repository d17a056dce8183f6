// _gated_head_norm and its backward on the CPU: the division of the tokens among threads.
#include "core/parameter_sums.h"
#include "gated_head_norm/gated_head_norm_call.h"

namespace wkv {
namespace {

const GatedHeadNormKernels& kernels_for(const GatedHeadNormCall& call) {
  return gated_head_norm_kernels().of[static_cast<int>(io_type(call.gate))];
}

Tensor gated_head_norm_cpu(Tensor x, Tensor weight, Tensor bias, Tensor gate, OptionalTensor r, OptionalTensor k,
                           OptionalTensor v, OptionalTensor bonus, double eps, bool silu) {
  const GatedHeadNormCall call("_gated_head_norm", x, weight, bias, gate, r, k, v, bonus, eps, silu);
  Tensor y = new_empty(call.gate, call.gate.sizes());
  void* const to = y.mutable_data_ptr();
  constexpr int64_t kWorthwhile = 1 << 13;  // values: some 20 microseconds
  const int64_t values = call.inputs.heads * call.inputs.head_size;
  parallel_for(0, call.inputs.tokens, kWorthwhile / std::max<int64_t>(1, values) + 1,
               [&](int64_t first, int64_t last) { kernels_for(call).forward(call.inputs, to, first, last); });
  return y;
}

GatedHeadNormGradientTensors gated_head_norm_backward_cpu(Tensor grad_y, Tensor x, Tensor weight, Tensor bias,
                                                          Tensor gate, OptionalTensor r, OptionalTensor k,
                                                          OptionalTensor v, OptionalTensor bonus, double eps,
                                                          bool silu) {
  const char* const op = "__gated_head_norm_backward";
  const GatedHeadNormCall call(op, x, weight, bias, gate, r, k, v, bonus, eps, silu);
  check_gated_head_norm_gradient(op, grad_y, gate);
  grad_y = as_contiguous(grad_y);
  const GatedHeadNormTokenGradients tokens(call);
  const ParameterSums sums(call.gate, call.inputs.tokens, 3, call.inputs.heads * call.inputs.head_size);
  parallel_for(0, sums.groups, 1, [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      GatedHeadNormGradients grad = tokens.addresses(grad_y);
      grad.weight = sums.at(0, group);
      grad.bias = sums.at(1, group);
      grad.bonus = sums.at(2, group);
      kernels_for(call).backward(call.inputs, grad, sums.first(group), sums.first(group + 1));
    }
  });
  return tokens.with_parameters(call, [&](int64_t i, const Tensor& parameter) { return sums.total(i, parameter); });
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("_gated_head_norm", TORCH_BOX(&wkv::gated_head_norm_cpu));
  m.impl("__gated_head_norm_backward", TORCH_BOX(&wkv::gated_head_norm_backward_cpu));
}
