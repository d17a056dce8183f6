// _wkv7_inputs and its backward on the CPU: the division of the tokens among threads.
#include "core/parameter_sums.h"
#include "wkv7_inputs/wkv7_inputs_call.h"

namespace wkv {
namespace {

const Wkv7InputsKernels& kernels_for(const Wkv7InputsCall& call) {
  return wkv7_inputs_kernels().of[static_cast<int>(io_type(call.k()))];
}

Wkv7InputsTensors wkv7_inputs_cpu(Tensor decay, Tensor rate, Tensor k, Tensor w0, Tensor a0, Tensor k_k, Tensor k_a,
                                  OptionalTensor v, OptionalTensor first_value, OptionalTensor residual,
                                  OptionalTensor v0) {
  const Wkv7InputsCall call("_wkv7_inputs", decay, rate, k, w0, a0, k_k, k_a, v, first_value, residual, v0);
  const Wkv7InputsResult result(call);
  constexpr int64_t kWorthwhile = 1 << 13;  // values: some 20 microseconds
  const int64_t values = call.arguments.heads * call.arguments.head_size;
  parallel_for(
      0, call.arguments.tokens, kWorthwhile / std::max<int64_t>(1, values) + 1,
      [&](int64_t first, int64_t last) { kernels_for(call).forward(call.arguments, result.addresses(), first, last); });
  return result.tensors;
}

Wkv7InputsGradientTensors wkv7_inputs_backward_cpu(Tensor grad_w, Tensor grad_k, Tensor grad_a, Tensor grad_b,
                                                   Tensor grad_v, Tensor decay, Tensor rate, Tensor k, Tensor w0,
                                                   Tensor a0, Tensor k_k, Tensor k_a, OptionalTensor v,
                                                   OptionalTensor first_value, OptionalTensor residual,
                                                   OptionalTensor v0) {
  const char* const op = "__wkv7_inputs_backward";
  const Wkv7InputsCall call(op, decay, rate, k, w0, a0, k_k, k_a, v, first_value, residual, v0);
  const Wkv7InputsTokenGradients tokens(op, call, grad_w, grad_k, grad_a, grad_b, grad_v);
  const ParameterSums sums(call.k(), call.arguments.tokens, kWkv7InputParameters,
                           call.arguments.heads * call.arguments.head_size);
  parallel_for(0, sums.groups, 1, [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      Wkv7InputsGradients grad = tokens.addresses();
      for (int i = 0; i < kWkv7InputParameters; ++i) grad.parameters[i] = sums.at(i, group);
      kernels_for(call).backward(call.arguments, grad, sums.first(group), sums.first(group + 1));
    }
  });
  return tokens.with_parameters(call, [&](int64_t i, const Tensor& parameter) { return sums.total(i, parameter); });
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("_wkv7_inputs", TORCH_BOX(&wkv::wkv7_inputs_cpu));
  m.impl("__wkv7_inputs_backward", TORCH_BOX(&wkv::wkv7_inputs_backward_cpu));
}
