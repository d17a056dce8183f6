// _gated_head_norm and its backward on CUDA.
#include <algorithm>

#include "core/cuda/launch.h"
#include "gated_head_norm/gated_head_norm_call.h"
#include "gated_head_norm/gated_head_norm_kernels.cuh"

namespace wkv::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;

Tensor gated_head_norm(Tensor x, Tensor weight, Tensor bias, Tensor gate, OptionalTensor r, OptionalTensor k,
                       OptionalTensor v, OptionalTensor bonus, double eps, bool silu) {
  const GatedHeadNormCall call("_gated_head_norm", x, weight, bias, gate, r, k, v, bonus, eps, silu);
  const Device device(x);
  Tensor y = new_empty(call.gate, call.gate.sizes());
  for_io_type(gate, [&](auto io) {
    using io_t = decltype(io);
    device.launch(gated_head_norm_kernel<io_t>, device.blocks_for(call.inputs.tokens * call.inputs.heads, kWarps),
                  kThreads, 0, call.inputs, data<io_t>(y));
  });
  return y;
}

GatedHeadNormGradientTensors gated_head_norm_backward(Tensor grad_y, Tensor x, Tensor weight, Tensor bias, Tensor gate,
                                                      OptionalTensor r, OptionalTensor k, OptionalTensor v,
                                                      OptionalTensor bonus, double eps, bool silu) {
  const char* const op = "__gated_head_norm_backward";
  const GatedHeadNormCall call(op, x, weight, bias, gate, r, k, v, bonus, eps, silu);
  check_gated_head_norm_gradient(op, grad_y, gate);
  const Device device(x);
  grad_y = as_contiguous(grad_y);
  const GatedHeadNormTokenGradients tokens(call);
  const GatedHeadNormInputs& in = call.inputs;
  constexpr int64_t kPartTokens = 64, kMostParts = 256;
  const int64_t part_tokens = std::max<int64_t>(kPartTokens, (in.tokens + kMostParts - 1) / kMostParts),
                parts = (in.tokens + part_tokens - 1) / part_tokens;
  const Tensor sums = new_empty(call.gate, {3, parts, in.heads, in.head_size}, state_type(call.gate));
  for_io_type(gate, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    constexpr int64_t kSharedBytes = head_sums_bytes<acc_t>(kWarps, 3, kMostNormHeadSize / 32);
    device.launch(gated_head_norm_backward_kernel<io_t>, parts * in.heads, kThreads, kSharedBytes, in,
                  tokens.addresses(grad_y), data<acc_t>(sums), part_tokens, parts);
  });
  return tokens.with_parameters(call, [&](int64_t i, const Tensor& parameter) {
    return sum_of_parts(device, torch::stable::select(sums, 0, i), parameter);
  });
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("_gated_head_norm", TORCH_BOX(&wkv::cuda::gated_head_norm));
  m.impl("__gated_head_norm_backward", TORCH_BOX(&wkv::cuda::gated_head_norm_backward));
}
