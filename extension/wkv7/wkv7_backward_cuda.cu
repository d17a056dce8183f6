// The backward of wkv7 on CUDA.
#include "wkv7/wkv7_call.cuh"
#include "wkv7/wkv7_check.h"
#include "wkv7/wkv7_chunked_backward.cuh"
#include "wkv7/wkv7_recurrent_backward.cuh"

namespace wkv::cuda {
namespace {

using OptionalTensor = std::optional<Tensor>;

void launch_recurrent(const Wkv7Call& call, const Wkv7BackwardCall& grad) {
  const int64_t N = call.batch.in.key_size, M = call.batch.in.value_size, blocks = call.sequence_heads();
  const int64_t chunk = std::clamp<int64_t>(call.longest(), 1, kWkv7Chunk);
  const Tensor states = new_empty(call.v, {blocks, chunk, M, N}, state_type(call.r));
  const int64_t work = wkv7_recurrent_work(N, M, chunk), work_bytes = work * element_bytes(states);
  const bool shared = work_bytes <= call.device.most_shared_bytes();
  const Tensor in_memory = new_empty(call.v, {shared ? 0 : blocks, work}, state_type(call.r));
  const Wkv7RecurrentScratch scratch{
      .states = states.mutable_data_ptr(), .work = shared ? nullptr : in_memory.mutable_data_ptr(), .chunk = chunk};
  for_io_type(call.r, [&](auto io) {
    call.device.launch(wkv7_recurrent_backward_kernel<decltype(io)>, blocks, kWkv7BackwardThreads,
                       shared ? work_bytes : 0, call.batch, grad, scratch);
  });
}

bool launch_chunked(const Wkv7Call& call, const Wkv7BackwardCall& grad) {
  return call.launch_chunked([&](auto io, auto size) {
    constexpr int kSharedBytes = Wkv7ChunkedBackward<decltype(io), size()>::kSharedBytes;
    if (kSharedBytes > call.device.most_shared_bytes()) return false;
    call.device.launch(wkv7_chunked_backward_kernel<decltype(io), size()>, call.sequence_heads(),
                       Wkv7Chunk<decltype(io), size()>::kThreads, kSharedBytes, call.batch, grad);
    return true;
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> wkv7_backward(
    Tensor grad_y, Tensor grad_state, Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, OptionalTensor state,
    OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv7("_wkv7_backward", r, w, k, v, a, b, state, cu_seqlens);
  check_matrix_state_gradients("_wkv7_backward", grad_y, grad_state, r, v, cu_seqlens);
  const Wkv7Call call("_wkv7_backward", r, w, k, v, a, b, state, cu_seqlens, log_decay);
  grad_y = as_contiguous(grad_y);
  grad_state = as_contiguous(grad_state);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  Tensor grad_r = gradient_of(call.r), grad_w = gradient_of(call.w), grad_k = gradient_of(call.k),
         grad_v = gradient_of(call.v), grad_a = gradient_of(call.a), grad_b = gradient_of(call.b);
  Tensor grad_before = call.state ? gradient_of(*call.state) : new_empty(grad_y, {0});

  const Wkv7Batch& batch = call.batch;
  const int64_t slots = batch.sequences.tokens / kWkv7Chunk + batch.sequences.count;
  const Tensor checkpoints =
      new_empty(grad_y, {slots, batch.in.heads, batch.in.value_size, batch.in.key_size}, state_type(call.r));
  launch_wkv7_forward(call, {.y = nullptr, .state_after = nullptr, .checkpoints = checkpoints.mutable_data_ptr()});
  const Wkv7BackwardCall grad{.grad_y = grad_y.const_data_ptr(),
                              .grad_state = grad_state.const_data_ptr(),
                              .r = grad_r.mutable_data_ptr(),
                              .w = grad_w.mutable_data_ptr(),
                              .k = grad_k.mutable_data_ptr(),
                              .v = grad_v.mutable_data_ptr(),
                              .a = grad_a.mutable_data_ptr(),
                              .b = grad_b.mutable_data_ptr(),
                              .state_before = call.state ? grad_before.mutable_data_ptr() : nullptr,
                              .checkpoints = checkpoints.const_data_ptr()};
  if (!launch_chunked(call, grad)) launch_recurrent(call, grad);
  return {grad_r, grad_w, grad_k, grad_v, grad_a, grad_b, grad_before};
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) { m.impl("_wkv7_backward", TORCH_BOX(&wkv::cuda::wkv7_backward)); }
