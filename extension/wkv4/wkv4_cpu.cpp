// wkv4, its backward and wkv4_decode_ on the CPU: checks, outputs, and the division of the work among threads. The
// arithmetic is in the *_isa files. A result does not depend on the number of threads: channels are computed alike in
// any task, and the order in which gradients of w and u are summed is that of the sequences.
#include <algorithm>

#include "core/parameter_sums.h"
#include "core/scratch.h"
#include "core/sequences.h"
#include "wkv4/wkv4.h"
#include "wkv4/wkv4_check.h"

namespace wkv {
namespace {

using OptionalTensor = std::optional<Tensor>;

constexpr int64_t kBackwardChannels = 1024;  // of a task at most: what it keeps of a chunk stays in the cache

struct Wkv4Call {
  Tensor w, u, k, v;
  Wkv4Inputs inputs;
  const Wkv4Kernels& kernels;

  // The arguments have been checked.
  Wkv4Call(const Tensor& w_, const Tensor& u_, const Tensor& k_, const Tensor& v_)
      : w(as_contiguous(w_)),
        u(as_contiguous(u_)),
        k(as_contiguous(k_)),
        v(as_contiguous(v_)),
        inputs{.w = {w.const_data_ptr(), is_float(w)},
               .u = {u.const_data_ptr(), is_float(u)},
               .k = k.const_data_ptr(),
               .v = v.const_data_ptr(),
               .channels = w.size(0)},
        kernels(wkv4_kernels().of[static_cast<int>(io_type(k))]) {}

  static bool is_float(const Tensor& x) { return x.scalar_type() == ScalarType::Float; }

  // Calls run(row, channels, scratch) for the rows 0, ..., rows - 1 of work and ranges of at most `widest` channels.
  // Whole rows stream best: they are divided further only where there are too few to occupy the threads.
  template <class ScratchBytes, class Run>
  void for_rows(int64_t rows, int64_t widest, const ScratchBytes& scratch_bytes, const Run& run) const {
    constexpr int64_t kBlock = 64;            // channels: whole cache lines
    constexpr int64_t kWorthwhile = 1 << 14;  // tokens times channels: some 20 microseconds
    const int64_t channels = inputs.channels;
    if (rows == 0 || channels == 0) return;
    const auto divided = [](int64_t n, int64_t parts) { return (n + parts - 1) / parts; };
    const int64_t ranges_wanted = std::max(divided(channels, widest), divided(torch::stable::get_num_threads(), rows));
    const int64_t width = divided(divided(channels, ranges_wanted), kBlock) * kBlock;
    const int64_t tasks = rows * divided(channels, width);
    const int64_t grain = std::max<int64_t>(1, tasks * kWorthwhile / (k.numel() + rows * channels));
    parallel_for(0, tasks, grain, [&](int64_t first, int64_t last) {
      const Scratch scratch(scratch_bytes(std::min(width, channels)));
      for (int64_t task = first; task < last; ++task) {
        const int64_t row = task % rows, begin = task / rows * width;
        const ChannelRange range{begin, std::min(channels, begin + width)};
        if (task == first || row == 0) kernels.start(inputs, range, scratch.get());
        run(row, range, scratch.get());
      }
    });
  }
};

// The rows [3, C] of a tensor of states, which may be apart from each other.
struct StateRows {
  explicit StateRows(const Tensor& states) : bytes(states.stride(0) * element_bytes(states)) {}
  template <class Byte>
  Byte* at(Byte* states, int64_t row) const {
    return states + row * bytes;
  }
  int64_t bytes;
};

std::tuple<Tensor, Tensor> wkv4_cpu(Tensor w, Tensor u, Tensor k, Tensor v, OptionalTensor state,
                                    OptionalTensor cu_seqlens) {
  check_wkv4("wkv4", w, u, k, v, state, cu_seqlens);
  const Wkv4Call call(w, u, k, v);
  const std::vector<Sequence> sequences = sequences_of("wkv4", k.size(0), k.size(1), cu_seqlens);
  const int64_t rows = static_cast<int64_t>(sequences.size());
  Tensor y = new_empty(call.k, call.k.sizes());
  Tensor state_after = new_empty(call.k, {rows, 3, call.inputs.channels}, state_type(k));
  if (state) state = as_contiguous(*state);
  const StateRows states(state_after);
  const auto* before = state ? static_cast<const char*>(state->const_data_ptr()) : nullptr;
  auto* after = static_cast<char*>(state_after.mutable_data_ptr());
  void* const outputs = y.mutable_data_ptr();
  call.for_rows(rows, call.inputs.channels, call.kernels.forward_scratch,
                [&](int64_t row, ChannelRange range, void* scratch) {
                  const Wkv4Sequence sequence{sequences[row].first_token, sequences[row].length,
                                              before ? states.at(before, row) : nullptr};
                  call.kernels.forward(call.inputs, sequence, {outputs, states.at(after, row)}, range, scratch);
                });
  return {y, state_after};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> wkv4_backward_cpu(Tensor grad_y, Tensor grad_state, Tensor w,
                                                                     Tensor u, Tensor k, Tensor v, OptionalTensor state,
                                                                     OptionalTensor cu_seqlens) {
  check_wkv4("_wkv4_backward", w, u, k, v, state, cu_seqlens);
  check_wkv4_gradients("_wkv4_backward", grad_y, grad_state, k, cu_seqlens);
  const Wkv4Call call(w, u, k, v);
  const std::vector<Sequence> sequences = sequences_of("_wkv4_backward", k.size(0), k.size(1), cu_seqlens);
  const int64_t rows = static_cast<int64_t>(sequences.size());
  grad_y = as_contiguous(grad_y);
  grad_state = as_contiguous(grad_state);
  if (state) state = as_contiguous(*state);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  Tensor grad_w = gradient_of(call.w), grad_u = gradient_of(call.u), grad_k = gradient_of(call.k),
         grad_v = gradient_of(call.v), grad_before = state ? gradient_of(*state) : new_empty(grad_y, {0});

  const ParameterSums sums(call.k, rows, 2, call.inputs.channels);
  const StateRows states(grad_state);
  const auto* before = state ? static_cast<const char*>(state->const_data_ptr()) : nullptr;
  const auto* after = static_cast<const char*>(grad_state.const_data_ptr());
  auto* const to_before = state ? static_cast<char*>(grad_before.mutable_data_ptr()) : nullptr;
  const Wkv4Gradients all{.y = grad_y.const_data_ptr(),
                          .state_after = nullptr,
                          .k = grad_k.mutable_data_ptr(),
                          .v = grad_v.mutable_data_ptr(),
                          .state_before = nullptr,
                          .w = nullptr,
                          .u = nullptr};
  int64_t longest = 0;
  for (const Sequence& sequence : sequences) longest = std::max(longest, sequence.length);
  const auto scratch_bytes = [&](int64_t width) { return call.kernels.backward_scratch(width, longest); };
  call.for_rows(sums.groups, kBackwardChannels, scratch_bytes, [&](int64_t group, ChannelRange range, void* scratch) {
    for (int64_t row = sums.first(group); row < sums.first(group + 1); ++row) {
      Wkv4Gradients grad = all;
      grad.state_after = states.at(after, row);
      if (state) grad.state_before = states.at(to_before, row);
      grad.w = sums.at(0, group);
      grad.u = sums.at(1, group);
      const Wkv4Sequence sequence{sequences[row].first_token, sequences[row].length,
                                  before ? states.at(before, row) : nullptr};
      call.kernels.backward(call.inputs, sequence, grad, range, scratch);
    }
  });
  const auto sum_groups = [&](int64_t parameter, const ParameterRow& like, const Tensor& gradient) {
    call.kernels.sum_gradients(sums.at(parameter, 0), sums.groups, call.inputs.channels, like.is_float,
                               gradient.mutable_data_ptr());
  };
  sum_groups(0, call.inputs.w, grad_w);
  sum_groups(1, call.inputs.u, grad_u);
  return {grad_w, grad_u, grad_k, grad_v, grad_before};
}

Tensor wkv4_decode_cpu(Tensor w, Tensor u, Tensor k, Tensor v, Tensor pool, Tensor slots) {
  check_wkv4_decode("wkv4_decode_", w, u, k, v, pool, slots);
  const Tensor dense_slots = as_contiguous(slots);
  const auto* slot = static_cast<const int64_t*>(dense_slots.const_data_ptr());
  check_slot_values("wkv4_decode_", slot, slots.size(0), pool.size(0));
  const Wkv4Call call(w, u, k, v);
  Tensor y = new_empty(call.k, call.k.sizes());
  const StateRows states(pool);
  auto* const pool_data = static_cast<char*>(pool.mutable_data_ptr());
  void* const outputs = y.mutable_data_ptr();
  call.for_rows(k.size(0), call.inputs.channels, call.kernels.forward_scratch,
                [&](int64_t row, ChannelRange range, void* scratch) {
                  char* const state = states.at(pool_data, slot[row]);
                  call.kernels.forward(call.inputs, {row, 1, state}, {outputs, state}, range, scratch);
                });
  return y;
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("wkv4", TORCH_BOX(&wkv::wkv4_cpu));
  m.impl("_wkv4_backward", TORCH_BOX(&wkv::wkv4_backward_cpu));
  m.impl("wkv4_decode_", TORCH_BOX(&wkv::wkv4_decode_cpu));
}
