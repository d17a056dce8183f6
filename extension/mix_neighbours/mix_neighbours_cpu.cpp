// _mix_neighbours and its backward on the CPU: checks, outputs, and the division of the tokens among threads.
#include <algorithm>

#include "core/parameter_sums.h"
#include "mix_neighbours/mix_neighbours.h"
#include "mix_neighbours/mix_neighbours_check.h"
#include "q_shift/q_shift.h"

namespace wkv {
namespace {

using OptionalTensor = std::optional<Tensor>;

struct MixNeighboursCall {
  Tensor x, mixes;
  OptionalTensor changes;
  QShiftGrid grid, opposite;
  std::vector<QShiftRun> runs;
  MixNeighboursInputs inputs;
  const MixNeighboursKernels& kernels;

  // The arguments have been checked.
  MixNeighboursCall(const Tensor& x_, const Tensor& mixes_, const OptionalTensor& changes_, int64_t height,
                    int64_t width, double gamma, int64_t shift, int64_t head_size, int64_t cls_tokens)
      : x(as_contiguous(x_)),
        mixes(as_contiguous(mixes_)),
        changes(changes_ ? OptionalTensor(as_contiguous(*changes_)) : std::nullopt),
        grid(q_shift_grid(height, width, cls_tokens, shift)),
        opposite(q_shift_grid(height, width, cls_tokens, -shift)),
        runs(q_shift_runs(x.size(2), gamma, head_size)),
        inputs{.x = x.const_data_ptr(),
               .mixes = {mixes.const_data_ptr(), mixes.scalar_type() == ScalarType::Float},
               .changes = changes ? changes->const_data_ptr() : nullptr,
               .count = mixes.size(0),
               .tokens = x.size(0) * x.size(1),
               .channels = x.size(2),
               .runs = runs.data(),
               .run_count = static_cast<int64_t>(runs.size())},
        kernels(mix_neighbours_kernels().of[static_cast<int>(io_type(x))]) {}

  // Calls use(token, its place in the grid) for the tokens first, ..., last - 1.
  template <class Use>
  void for_tokens(int64_t first, int64_t last, const Use& use) const {
    int64_t place = first % std::max<int64_t>(1, grid.tokens());
    for (int64_t token = first; token < last; ++token) {
      use(token, place);
      if (++place == grid.tokens()) place = 0;
    }
  }
};

Tensor mix_neighbours_cpu(Tensor x, Tensor mixes, OptionalTensor changes, int64_t height, int64_t width, double gamma,
                          int64_t shift, int64_t head_size, int64_t cls_tokens) {
  check_mix_neighbours("_mix_neighbours", x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
  const MixNeighboursCall call(x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
  const MixNeighboursInputs& in = call.inputs;
  Tensor mixed = new_empty(call.x, {in.count, x.size(0), x.size(1), x.size(2)});
  void* const to = mixed.mutable_data_ptr();
  constexpr int64_t kWorthwhile = 1 << 15;  // elements to give to a thread at least: some 20 microseconds
  parallel_for(0, in.tokens, kWorthwhile / std::max<int64_t>(1, in.channels * in.count) + 1,
               [&](int64_t first, int64_t last) {
                 call.for_tokens(first, last, [&](int64_t token, int64_t place) {
                   const auto neighbour = call.grid.offsets(place);
                   call.kernels.forward(in, {.index = token, .neighbour = neighbour.data()}, to);
                 });
               });
  return mixed;
}

std::tuple<Tensor, Tensor, Tensor> mix_neighbours_backward_cpu(Tensor grad_mixed, Tensor x, Tensor mixes,
                                                               OptionalTensor changes, int64_t height, int64_t width,
                                                               double gamma, int64_t shift, int64_t head_size,
                                                               int64_t cls_tokens) {
  const char* const op = "__mix_neighbours_backward";
  check_mix_neighbours(op, x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
  check_grad_mixed(Check<Tensor>{op}, grad_mixed, x, mixes);
  const MixNeighboursCall call(x, mixes, changes, height, width, gamma, shift, head_size, cls_tokens);
  grad_mixed = as_contiguous(grad_mixed);
  Tensor grad_x = new_empty(call.x, call.x.sizes());
  Tensor grad_changes = call.changes ? new_empty(call.x, call.changes->sizes()) : new_empty(grad_mixed, {0});
  const ParameterSums sums(call.x, call.inputs.tokens, 1, call.inputs.count * call.inputs.channels);
  const MixNeighboursGradients all{.mixed = grad_mixed.const_data_ptr(),
                                   .x = grad_x.mutable_data_ptr(),
                                   .changes = call.changes ? grad_changes.mutable_data_ptr() : nullptr};
  parallel_for(0, sums.groups, 1, [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      MixNeighboursGradients grad = all;
      grad.mixes = sums.at(0, group);
      call.for_tokens(sums.first(group), sums.first(group + 1), [&](int64_t token, int64_t place) {
        const auto neighbour = call.grid.offsets(place), neighbour_of = call.opposite.offsets(place);
        call.kernels.backward(call.inputs, {token, neighbour.data(), neighbour_of.data()}, grad);
      });
    }
  });
  return {grad_x, sums.total(0, call.mixes), grad_changes};
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("_mix_neighbours", TORCH_BOX(&wkv::mix_neighbours_cpu));
  m.impl("__mix_neighbours_backward", TORCH_BOX(&wkv::mix_neighbours_backward_cpu));
}
