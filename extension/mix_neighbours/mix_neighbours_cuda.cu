// _mix_neighbours and its backward on CUDA.
#include <algorithm>

#include "core/cuda/launch.h"
#include "mix_neighbours/mix_neighbours_check.h"
#include "mix_neighbours/mix_neighbours_kernels.cuh"

namespace wkv::cuda {
namespace {

using OptionalTensor = std::optional<Tensor>;
constexpr int kThreads = 128;

struct CheckedMixNeighbours {
  Device device;
  Tensor x, mixes;
  OptionalTensor changes;
  MixNeighboursCall call;

  // The arguments have been checked.
  CheckedMixNeighbours(const Tensor& x_, const Tensor& mixes_, const OptionalTensor& changes_, int64_t height,
                       int64_t width, double gamma, int64_t shift, int64_t head_size, int64_t cls_tokens)
      : device(x_),
        x(as_contiguous(x_)),
        mixes(as_contiguous(mixes_)),
        changes(changes_ ? OptionalTensor(as_contiguous(*changes_)) : std::nullopt),
        call{.in = {.x = x.const_data_ptr(),
                    .mixes = {mixes.const_data_ptr(), mixes.scalar_type() == ScalarType::Float},
                    .changes = changes ? changes->const_data_ptr() : nullptr,
                    .count = mixes.size(0),
                    .tokens = x.size(0) * x.size(1),
                    .channels = x.size(2)}} {
    const auto shift_by = [&](int64_t distance) {
      return q_shift_call(call.in.tokens, call.in.channels, height, width, gamma, distance, head_size, cls_tokens);
    };
    call.shift = shift_by(shift);
    call.opposite = shift_by(-shift);
  }
};

Tensor mix_neighbours(Tensor x, Tensor mixes, OptionalTensor changes, int64_t height, int64_t width, double gamma,
                      int64_t shift, int64_t head_size, int64_t cls_tokens) {
  check_mix_neighbours("_mix_neighbours", x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
  const CheckedMixNeighbours checked(x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
  const MixTokensInputs& in = checked.call.in;
  Tensor mixed = new_empty(checked.x, {in.count, x.size(0), x.size(1), x.size(2)});
  for_io_type(x, [&](auto io) {
    using io_t = decltype(io);
    checked.device.launch(mix_neighbours_kernel<io_t>, checked.device.blocks_for(in.tokens * in.channels, kThreads),
                          kThreads, 0, checked.call, data<io_t>(mixed));
  });
  return mixed;
}

std::tuple<Tensor, Tensor, Tensor> mix_neighbours_backward(Tensor grad_mixed, Tensor x, Tensor mixes,
                                                           OptionalTensor changes, int64_t height, int64_t width,
                                                           double gamma, int64_t shift, int64_t head_size,
                                                           int64_t cls_tokens) {
  const char* const op = "__mix_neighbours_backward";
  check_mix_neighbours(op, x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
  check_grad_mixed(Check<Tensor>{op}, grad_mixed, x, mixes);
  const CheckedMixNeighbours checked(x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
  const MixTokensInputs& in = checked.call.in;
  grad_mixed = as_contiguous(grad_mixed);
  Tensor grad_x = new_empty(checked.x, checked.x.sizes());
  Tensor grad_changes = checked.changes ? new_empty(checked.x, checked.changes->sizes()) : new_empty(grad_mixed, {0});
  constexpr int64_t kPartTokens = 64, kMostParts = 256;
  const int64_t part_tokens = std::max<int64_t>(kPartTokens, (in.tokens + kMostParts - 1) / kMostParts),
                parts = (in.tokens + part_tokens - 1) / part_tokens;
  Tensor sums = new_empty(checked.x, {parts, in.count, in.channels}, state_type(x));
  for_io_type(x, [&](auto io) {
    using io_t = decltype(io);
    const MixNeighboursBackward<io_t> grad{.mixed = data<const io_t>(grad_mixed),
                                           .x = data<io_t>(grad_x),
                                           .changes = checked.changes ? data<io_t>(grad_changes) : nullptr,
                                           .mixes = data<accumulate_t<io_t>>(sums),
                                           .part_tokens = part_tokens};
    checked.device.launch(mix_neighbours_backward_kernel<io_t>, parts * ((in.channels + kThreads - 1) / kThreads),
                          kThreads, 0, checked.call, grad);
  });
  return {grad_x, sum_of_parts(checked.device, sums, checked.mixes), grad_changes};
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("_mix_neighbours", TORCH_BOX(&wkv::cuda::mix_neighbours));
  m.impl("__mix_neighbours_backward", TORCH_BOX(&wkv::cuda::mix_neighbours_backward));
}
