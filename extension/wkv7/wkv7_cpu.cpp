// wkv7 and its backward on the CPU: checks, outputs, and the division of the work among threads. The arithmetic is in
// the *_isa files. A result does not depend on the number of threads: heads and columns are computed alike in any task.
#include <algorithm>

#include "core/head_tasks.h"
#include "core/sequences.h"
#include "wkv7/wkv7.h"
#include "wkv7/wkv7_check.h"

namespace wkv {
namespace {

using OptionalTensor = std::optional<Tensor>;

constexpr int64_t kTokensInTurn = 8;

struct Wkv7Call {
  Tensor r, w, k, v, a, b;
  OptionalTensor state;
  std::vector<Sequence> sequences;
  Wkv7Inputs inputs;
  HeadSizes sizes;
  const Wkv7Kernels& kernels;

  // The arguments have been checked.
  Wkv7Call(const char* op, const Tensor& r_, const Tensor& w_, const Tensor& k_, const Tensor& v_, const Tensor& a_,
           const Tensor& b_, const OptionalTensor& state_, const OptionalTensor& cu_seqlens, bool log_decay)
      : r(as_contiguous(r_)),
        w(as_contiguous(w_)),
        k(as_contiguous(k_)),
        v(as_contiguous(v_)),
        a(as_contiguous(a_)),
        b(as_contiguous(b_)),
        state(state_ ? OptionalTensor(as_contiguous(*state_)) : std::nullopt),
        sequences(sequences_of(op, r.size(0), r.size(1), cu_seqlens)),
        inputs{.r = r.const_data_ptr(),
               .k = k.const_data_ptr(),
               .v = v.const_data_ptr(),
               .a = a.const_data_ptr(),
               .b = b.const_data_ptr(),
               .decay = {w.const_data_ptr(), w.scalar_type() == ScalarType::Float, log_decay},
               .heads = r.size(2),
               .key_size = r.size(3),
               .value_size = v.size(3)},
        sizes{inputs.heads, inputs.key_size, inputs.value_size},
        kernels(wkv7_kernels().of[static_cast<int>(io_type(r))]) {}

  std::vector<int64_t> state_shape() const {
    return {static_cast<int64_t>(sequences.size()), inputs.heads, inputs.value_size, inputs.key_size};
  }
  // Head `head` of sequence `row` in a tensor of states.
  template <class Byte>
  Byte* state_of(Byte* states, int64_t row, int64_t head) const {
    const int64_t bytes = r.scalar_type() == ScalarType::Double ? 8 : 4;
    return states + (row * inputs.heads + head) * inputs.value_size * inputs.key_size * bytes;
  }
  Wkv7Sequence sequence(int64_t row, int64_t head) const {
    const char* before = state ? state_of(static_cast<const char*>(state->const_data_ptr()), row, head) : nullptr;
    return {sequences[row].first_token, sequences[row].length, head, before};
  }
};

std::tuple<Tensor, Tensor> wkv7_cpu(Tensor r, Tensor w, Tensor k, Tensor v, Tensor a, Tensor b, OptionalTensor state,
                                    OptionalTensor cu_seqlens, bool log_decay) {
  check_wkv7("wkv7", r, w, k, v, a, b, state, cu_seqlens);
  const Wkv7Call call("wkv7", r, w, k, v, a, b, state, cu_seqlens, log_decay);
  Tensor y = new_empty(call.v, call.v.sizes());
  Tensor state_after = new_empty(call.v, call.state_shape(), state_type(call.r));
  auto* states = static_cast<char*>(state_after.mutable_data_ptr());
  void* const outputs = y.mutable_data_ptr();

  for_head_parts(call.sequences, call.sizes, kWkv7ColumnBlock, kTokensInTurn, call.kernels.forward_scratch(call.inputs),
                 [&](const HeadPart& part, void* scratch) {
                   call.kernels.forward(call.inputs, call.sequence(part.row, part.head),
                                        {outputs, call.state_of(states, part.row, part.head)},
                                        {part.begin, part.end, part.first_value, part.last_value}, scratch);
                 });
  return {y, state_after};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> wkv7_backward_cpu(
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
  const Wkv7Gradients all{.y = grad_y.const_data_ptr(),
                          .state_after = grad_state.const_data_ptr(),
                          .r = grad_r.mutable_data_ptr(),
                          .w = grad_w.mutable_data_ptr(),
                          .k = grad_k.mutable_data_ptr(),
                          .v = grad_v.mutable_data_ptr(),
                          .a = grad_a.mutable_data_ptr(),
                          .b = grad_b.mutable_data_ptr(),
                          .state_before = call.state ? grad_before.mutable_data_ptr() : nullptr};

  int64_t scratch_bytes = 0;
  for (const Sequence& sequence : call.sequences) {
    scratch_bytes = std::max(scratch_bytes, call.kernels.backward_scratch(call.inputs, sequence.length));
  }
  for_heads(call.sequences, call.sizes, scratch_bytes, [&](int64_t row, int64_t head, void* scratch) {
    Wkv7Gradients grad = all;
    grad.state_after = call.state_of(static_cast<const char*>(all.state_after), row, head);
    if (call.state) grad.state_before = call.state_of(static_cast<char*>(all.state_before), row, head);
    call.kernels.backward(call.inputs, call.sequence(row, head), grad, scratch);
  });
  return {grad_r, grad_w, grad_k, grad_v, grad_a, grad_b, grad_before};
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("wkv7", TORCH_BOX(&wkv::wkv7_cpu));
  m.impl("_wkv7_backward", TORCH_BOX(&wkv::wkv7_backward_cpu));
}
