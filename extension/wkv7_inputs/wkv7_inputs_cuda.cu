// _wkv7_inputs and its backward on CUDA.
#include <algorithm>

#include "core/cuda/launch.h"
#include "wkv7_inputs/wkv7_inputs_call.h"
#include "wkv7_inputs/wkv7_inputs_kernels.cuh"

namespace wkv::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;

Wkv7InputsTensors wkv7_inputs(Tensor decay, Tensor rate, Tensor k, Tensor w0, Tensor a0, Tensor k_k, Tensor k_a,
                              OptionalTensor v, OptionalTensor first_value, OptionalTensor residual,
                              OptionalTensor v0) {
  const Wkv7InputsCall call("_wkv7_inputs", decay, rate, k, w0, a0, k_k, k_a, v, first_value, residual, v0);
  const Device device(k);
  const Wkv7InputsResult result(call);
  for_io_type(k, [&](auto io) {
    device.launch(wkv7_inputs_kernel<decltype(io)>,
                  device.blocks_for(call.arguments.tokens * call.arguments.heads, kWarps), kThreads, 0, call.arguments,
                  result.addresses());
  });
  return result.tensors;
}

Wkv7InputsGradientTensors wkv7_inputs_backward(Tensor grad_w, Tensor grad_k, Tensor grad_a, Tensor grad_b,
                                               Tensor grad_v, Tensor decay, Tensor rate, Tensor k, Tensor w0, Tensor a0,
                                               Tensor k_k, Tensor k_a, OptionalTensor v, OptionalTensor first_value,
                                               OptionalTensor residual, OptionalTensor v0) {
  const char* const op = "__wkv7_inputs_backward";
  const Wkv7InputsCall call(op, decay, rate, k, w0, a0, k_k, k_a, v, first_value, residual, v0);
  const Device device(k);
  const Wkv7InputsTokenGradients tokens(op, call, grad_w, grad_k, grad_a, grad_b, grad_v);
  const Wkv7InputsArguments& in = call.arguments;
  constexpr int64_t kPartTokens = 64, kMostParts = 256;
  const int64_t part_tokens = std::max<int64_t>(kPartTokens, (in.tokens + kMostParts - 1) / kMostParts),
                parts = (in.tokens + part_tokens - 1) / part_tokens;
  const Tensor sums = new_empty(call.k(), {kWkv7InputParameters, parts, in.heads, in.head_size}, state_type(call.k()));
  for_io_type(k, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    constexpr int64_t kSharedBytes =
        head_sums_bytes<acc_t>(kWarps, kWkv7InputParameters, Wkv7InputsHead<io_t>::kValues);
    device.launch(wkv7_inputs_backward_kernel<io_t>, parts * in.heads, kThreads, kSharedBytes, in, tokens.addresses(),
                  data<acc_t>(sums), part_tokens, parts);
  });
  return tokens.with_parameters(call, [&](int64_t i, const Tensor& parameter) {
    return sum_of_parts(device, torch::stable::select(sums, 0, i), parameter);
  });
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("_wkv7_inputs", TORCH_BOX(&wkv::cuda::wkv7_inputs));
  m.impl("__wkv7_inputs_backward", TORCH_BOX(&wkv::cuda::wkv7_inputs_backward));
}
