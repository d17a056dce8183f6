// _mix_tokens and its backward on CUDA.
#include <algorithm>

#include "core/cuda/launch.h"
#include "mix_tokens/mix_tokens_check.h"
#include "mix_tokens/mix_tokens_kernels.cuh"

namespace wkv::cuda {
namespace {

using OptionalTensor = std::optional<Tensor>;
constexpr int kThreads = 128;

struct CheckedMixTokens {
  Device device;
  Tensor x, last, mixes;
  OptionalTensor changes;
  MixTokensCall call;

  // The arguments have been checked.
  CheckedMixTokens(const char* op, const Tensor& x_, const Tensor& last_, const Tensor& mixes_,
                   const OptionalTensor& changes_, const OptionalTensor& cu_seqlens)
      : device(x_),
        x(as_contiguous(x_)),
        last(as_contiguous(last_)),
        mixes(as_contiguous(mixes_)),
        changes(changes_ ? OptionalTensor(as_contiguous(*changes_)) : std::nullopt),
        call{.in = {.x = x.const_data_ptr(),
                    .mixes = {mixes.const_data_ptr(), mixes.scalar_type() == ScalarType::Float},
                    .changes = changes ? changes->const_data_ptr() : nullptr,
                    .count = mixes.size(0),
                    .tokens = x.size(0) * x.size(1),
                    .channels = x.size(2)},
             .last = last.const_data_ptr(),
             .sequences = device.sequences(op, x.size(0), x.size(1), cu_seqlens)} {}
};

std::tuple<Tensor, Tensor> mix_tokens(Tensor x, Tensor last, Tensor mixes, OptionalTensor changes,
                                      OptionalTensor cu_seqlens) {
  check_mix_tokens("_mix_tokens", x, last, mixes, changes, cu_seqlens);
  const CheckedMixTokens checked("_mix_tokens", x, last, mixes, changes, cu_seqlens);
  const auto& [in, unused_last, sequences] = checked.call;
  Tensor mixed = new_empty(checked.x, {in.count, x.size(0), x.size(1), x.size(2)});
  Tensor last_after = new_empty(checked.x, checked.last.sizes());
  for_io_type(x, [&](auto io) {
    using io_t = decltype(io);
    const Device& device = checked.device;
    device.launch(mix_tokens_kernel<io_t>, device.blocks_for(in.tokens * in.channels, kThreads), kThreads, 0,
                  checked.call, data<io_t>(mixed));
    const int64_t values = sequences.count * in.channels;
    device.launch(mix_tokens_last_kernel<io_t>, (values + kThreads - 1) / kThreads, kThreads, 0, checked.call,
                  data<io_t>(last_after));
  });
  return {mixed, last_after};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> mix_tokens_backward(Tensor grad_mixed, Tensor grad_last, Tensor x,
                                                               Tensor last, Tensor mixes, OptionalTensor changes,
                                                               OptionalTensor cu_seqlens) {
  const char* const op = "__mix_tokens_backward";
  check_mix_tokens(op, x, last, mixes, changes, cu_seqlens);
  check_mix_tokens_gradients(op, grad_mixed, grad_last, x, mixes, cu_seqlens);
  const CheckedMixTokens checked(op, x, last, mixes, changes, cu_seqlens);
  const MixTokensInputs& in = checked.call.in;
  grad_mixed = as_contiguous(grad_mixed);
  grad_last = as_contiguous(grad_last);
  Tensor grad_x = new_empty(checked.x, checked.x.sizes());
  Tensor grad_changes = checked.changes ? new_empty(checked.x, checked.changes->sizes()) : new_empty(grad_mixed, {0});
  // A sequence without tokens passes its `last` on.
  Tensor grad_before = torch::stable::clone(grad_last);
  constexpr int64_t kPartTokens = 64, kMostParts = 256;
  const int64_t part_tokens = std::max<int64_t>(kPartTokens, (in.tokens + kMostParts - 1) / kMostParts),
                parts = (in.tokens + part_tokens - 1) / part_tokens;
  Tensor sums = new_empty(checked.x, {parts, in.count, in.channels}, state_type(x));
  for_io_type(x, [&](auto io) {
    using io_t = decltype(io);
    const MixTokensBackward<io_t> grad{.mixed = data<const io_t>(grad_mixed),
                                       .last = data<const io_t>(grad_last),
                                       .x = data<io_t>(grad_x),
                                       .changes = checked.changes ? data<io_t>(grad_changes) : nullptr,
                                       .before = data<io_t>(grad_before),
                                       .mixes = data<accumulate_t<io_t>>(sums),
                                       .part_tokens = part_tokens};
    checked.device.launch(mix_tokens_backward_kernel<io_t>, parts * ((in.channels + kThreads - 1) / kThreads), kThreads,
                          0, checked.call, grad);
  });
  return {grad_x, grad_before, sum_of_parts(checked.device, sums, checked.mixes), grad_changes};
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("_mix_tokens", TORCH_BOX(&wkv::cuda::mix_tokens));
  m.impl("__mix_tokens_backward", TORCH_BOX(&wkv::cuda::mix_tokens_backward));
}
