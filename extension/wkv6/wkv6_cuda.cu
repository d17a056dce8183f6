// wkv6 and its backward on CUDA, and what wkv5 and bi_wkv6 share with them: the choice of the form, and sums of parts.
#include "wkv6/wkv6_cuda.h"

namespace wkv::cuda {
namespace {

// In the chunked form a chunk costs the same however few tokens it has.
constexpr int64_t kLeastTokensOfChunks = 32;

bool in_chunks(const Wkv6Tensors& x) {
  if (x.r.scalar_type() == ScalarType::Double) return false;
  const Form wish = wished_form();
  return wish == Form::kChunked || (wish == Form::kByShape && x.r.size(1) >= kLeastTokensOfChunks);
}

}  // namespace

Wkv6Tensors::Wkv6Tensors(wkv::Decay decay, const Wkv6Arguments& x)
    : r(as_contiguous(x.r)),
      k(as_contiguous(x.k)),
      v(as_contiguous(x.v)),
      w(as_contiguous(x.w)),
      u(as_contiguous(x.u)),
      state(x.state ? OptionalTensor(as_contiguous(*x.state)) : std::nullopt),
      inputs{.r = r.const_data_ptr(),
             .k = k.const_data_ptr(),
             .v = v.const_data_ptr(),
             .decay = {w.const_data_ptr(), w.scalar_type() == ScalarType::Float, x.log_decay},
             .constant_decay = decay == wkv::Decay::kConstant,
             .u = u.const_data_ptr(),
             .float_u = u.scalar_type() == ScalarType::Float,
             .heads = u.size(0),
             .key_size = u.size(1),
             .value_size = v.size(v.dim() - 1)} {}

void launch_wkv6(const Device& device, const Wkv6Tensors& x, const Wkv6Grid& grid, const Wkv6Forward& out) {
  (in_chunks(x) ? launch_wkv6_chunked : launch_wkv6_recurrent)(device, x, grid, out);
}

std::tuple<Tensor, Tensor> wkv6_forward(const char* op, wkv::Decay decay, const Wkv6Arguments& arguments) {
  Device device(arguments.r);
  const Wkv6Tensors x(decay, arguments);
  const Wkv6Grid grid{device.sequences(op, x.r.size(0), x.r.size(1), arguments.cu_seqlens), 1, 1};
  Tensor y = new_empty(x.v, x.v.sizes());
  Tensor after =
      new_empty(x.v, {grid.sequences.count, x.inputs.heads, x.inputs.value_size, x.inputs.key_size}, state_type(x.r));
  launch_wkv6(device, x, grid,
              {.state_before = x.state ? x.state->const_data_ptr() : nullptr,
               .state_after = after.mutable_data_ptr(),
               .y = y.mutable_data_ptr(),
               .float_y = false,
               .checkpoints = nullptr});
  return {y, after};
}

Wkv6GradientTensors wkv6_backward(const char* op, wkv::Decay decay, const Tensor& grad_y, const Tensor& grad_state,
                                  const Wkv6Arguments& arguments) {
  Device device(arguments.r);
  const Wkv6Tensors x(decay, arguments);
  const Wkv6Grid grid{device.sequences(op, x.r.size(0), x.r.size(1), arguments.cu_seqlens), 1, 1};
  return wkv6_gradients(device, x, grid, as_contiguous(grad_y), as_contiguous(grad_state));
}

namespace {

std::tuple<Tensor, Tensor> wkv6(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, OptionalTensor state,
                                OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv6("wkv6", wkv::Decay::kPerToken, r, k, v, w, u, state, cu_seqlens);
  return cuda::wkv6_forward("wkv6", wkv::Decay::kPerToken, {r, k, v, w, u, state, cu_seqlens, log_decay});
}

Wkv6GradientTensors backward(Tensor grad_y, Tensor grad_state, Tensor r, Tensor k, Tensor v, Tensor w, Tensor u,
                             OptionalTensor state, OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv6("_wkv6_backward", wkv::Decay::kPerToken, r, k, v, w, u, state, cu_seqlens);
  check_matrix_state_gradients("_wkv6_backward", grad_y, grad_state, r, v, cu_seqlens);
  return cuda::wkv6_backward("_wkv6_backward", wkv::Decay::kPerToken, grad_y, grad_state,
                             {r, k, v, w, u, state, cu_seqlens, log_decay});
}

Tensor decode(Tensor r, Tensor k, Tensor v, Tensor w, Tensor u, Tensor pool, Tensor slots) {
  check_wkv6_decode("wkv6_decode_", wkv::Decay::kPerToken, r, k, v, w, u, pool, slots);
  return cuda::wkv6_decode(wkv::Decay::kPerToken, {r, k, v, w, u, std::nullopt, std::nullopt, false}, pool, slots);
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("wkv6", TORCH_BOX(&wkv::cuda::wkv6));
  m.impl("_wkv6_backward", TORCH_BOX(&wkv::cuda::backward));
  m.impl("wkv6_decode_", TORCH_BOX(&wkv::cuda::decode));
}
