// based_linear_attention and its backward on the CPU: checks, outputs, and the division of the work among threads. The
// arithmetic is in the *_isa files. A result does not depend on the number of threads: heads and columns are computed
// alike in any task.
#include <algorithm>

#include "based_linear_attention/based_linear_attention.h"
#include "based_linear_attention/based_linear_attention_check.h"
#include "core/scratch.h"
#include "core/sequences.h"

namespace wkv {
namespace {

using OptionalTensor = std::optional<Tensor>;

struct BasedCall {
  Tensor q, k, v;
  OptionalTensor kv_state, k_state;
  std::vector<Sequence> sequences;
  BasedInputs inputs;
  const BasedKernels& kernels;

  // The arguments have been checked.
  BasedCall(const char* op, const Tensor& q_, const Tensor& k_, const Tensor& v_, const OptionalTensor& kv_state_,
            const OptionalTensor& k_state_, bool normalize, double eps, const OptionalTensor& cu_seqlens)
      : q(as_contiguous(q_)),
        k(as_contiguous(k_)),
        v(as_contiguous(v_)),
        kv_state(kv_state_ ? OptionalTensor(as_contiguous(*kv_state_)) : std::nullopt),
        k_state(k_state_ ? OptionalTensor(as_contiguous(*k_state_)) : std::nullopt),
        sequences(sequences_of(op, q.size(0), q.size(1), cu_seqlens)),
        inputs{.q = q.const_data_ptr(),
               .k = k.const_data_ptr(),
               .v = v.const_data_ptr(),
               .heads = q.size(2),
               .feature_size = q.size(3),
               .value_size = v.size(3),
               .normalize = normalize,
               .eps = eps},
        kernels(based_kernels().of[static_cast<int>(io_type(q))]) {}

  int64_t rows() const { return static_cast<int64_t>(sequences.size()); }
  // Heads whose states a core's second-level cache holds.
  int64_t heads_together() const {
    constexpr int64_t kElements = 1 << 18;
    return std::max<int64_t>(1, kElements / (features() * inputs.value_size));
  }

  // Head `head` of sequence `row` in tensors of states; null where there is none.
  template <class Pointer>
  BasedState<Pointer> state_of(Pointer kv, Pointer k_states, int64_t row, int64_t head) const {
    const int64_t bytes = q.scalar_type() == ScalarType::Double ? 8 : 4, index = row * inputs.heads + head,
                  features = 1 + inputs.feature_size + inputs.feature_size * inputs.feature_size;
    const auto at = [&](Pointer tensor, int64_t size) -> Pointer {
      using Byte = std::conditional_t<std::is_same_v<Pointer, void*>, char, const char>;
      return tensor ? static_cast<Byte*>(tensor) + index * size * bytes : nullptr;
    };
    return {at(kv, inputs.value_size * features), at(k_states, features)};
  }
  BasedSequence sequence(int64_t row, int64_t head) const {
    return {sequences[row].first_token, sequences[row].length, head,
            state_of<const void*>(kv_state ? kv_state->const_data_ptr() : nullptr,
                                  k_state ? k_state->const_data_ptr() : nullptr, row, head)};
  }
  // Tasks to give to a thread at least, so that one start of a thread is worth its cost.
  int64_t grain(int64_t tasks) const {
    constexpr int64_t kWorthwhile = 1 << 18;  // state elements times tokens: some 20 microseconds
    const int64_t total = (q.size(0) * q.size(1) + 1) * inputs.heads * features() * inputs.value_size;
    return std::max<int64_t>(1, tasks * kWorthwhile / std::max<int64_t>(1, total));
  }

 private:
  int64_t features() const { return (inputs.feature_size + 1) * (inputs.feature_size + 2) / 2; }
};

std::tuple<Tensor, Tensor, Tensor> based_linear_attention_cpu(Tensor q, Tensor k, Tensor v, OptionalTensor kv_state,
                                                              OptionalTensor k_state, bool normalize, double eps,
                                                              OptionalTensor cu_seqlens) {
  check_based_linear_attention("based_linear_attention", q, k, v, kv_state, k_state, cu_seqlens);
  const BasedCall call("based_linear_attention", q, k, v, kv_state, k_state, normalize, eps, cu_seqlens);
  const BasedStateShapes<Tensor> shapes(q, v, cu_seqlens);
  Tensor y = new_empty(call.v, call.v.sizes());
  Tensor kv_after = new_empty(call.v, shapes.kv, state_type(call.q));
  Tensor k_after = new_empty(call.v, shapes.k, state_type(call.q));
  void *const outputs = y.mutable_data_ptr(), *const kv_states = kv_after.mutable_data_ptr(),
              *const k_states = k_after.mutable_data_ptr();

  const int64_t heads = call.inputs.heads, values = call.inputs.value_size, rows = call.rows();
  if (rows * heads == 0) return {y, kv_after, k_after};
  // A task takes several heads of a sequence; heads are parted, and then columns are, where there are too few tasks to
  // occupy the threads.
  const int64_t threads = torch::stable::get_num_threads(),
                blocks = (values + kBasedColumnBlock - 1) / kBasedColumnBlock;
  const int64_t together = std::clamp<int64_t>(rows * heads / threads, 1, std::min(heads, call.heads_together()));
  const int64_t groups = (heads + together - 1) / together;
  const int64_t parts = std::clamp<int64_t>((threads + rows * groups - 1) / (rows * groups), 1, blocks);
  const int64_t width = (blocks + parts - 1) / parts * kBasedColumnBlock;
  const int64_t tasks = rows * groups * parts;
  parallel_for(0, tasks, call.grain(tasks), [&](int64_t begin, int64_t end) {
    const Scratch scratch(call.kernels.forward_scratch(call.inputs, {together, 0, std::min(width, values)}));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / parts / groups, head = task / parts % groups * together, first = task % parts * width;
      if (first >= values) continue;
      call.kernels.forward(call.inputs, call.sequence(row, head),
                           {outputs, call.state_of(kv_states, k_states, row, head)},
                           {std::min(together, heads - head), first, std::min(values, first + width)}, scratch.get());
    }
  });
  return {y, kv_after, k_after};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> based_linear_attention_backward_cpu(
    Tensor grad_y, Tensor grad_kv_state, Tensor grad_k_state, Tensor q, Tensor k, Tensor v, OptionalTensor kv_state,
    OptionalTensor k_state, bool normalize, double eps, OptionalTensor cu_seqlens) {
  const char* const op = "_based_linear_attention_backward";
  check_based_linear_attention(op, q, k, v, kv_state, k_state, cu_seqlens);
  check_based_linear_attention_gradients(op, grad_y, grad_kv_state, grad_k_state, q, v, cu_seqlens);
  const BasedCall call(op, q, k, v, kv_state, k_state, normalize, eps, cu_seqlens);
  grad_y = as_contiguous(grad_y);
  grad_kv_state = as_contiguous(grad_kv_state);
  grad_k_state = as_contiguous(grad_k_state);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  const auto gradient_if_given = [&](const OptionalTensor& x) { return x ? gradient_of(*x) : new_empty(grad_y, {0}); };
  Tensor grad_q = gradient_of(call.q), grad_k = gradient_of(call.k), grad_v = gradient_of(call.v),
         grad_kv_before = gradient_if_given(call.kv_state), grad_k_before = gradient_if_given(call.k_state);
  const BasedGradients all{.y = grad_y.const_data_ptr(),
                           .after = {grad_kv_state.const_data_ptr(), grad_k_state.const_data_ptr()},
                           .q = grad_q.mutable_data_ptr(),
                           .k = grad_k.mutable_data_ptr(),
                           .v = grad_v.mutable_data_ptr(),
                           .before = {call.kv_state ? grad_kv_before.mutable_data_ptr() : nullptr,
                                      call.k_state ? grad_k_before.mutable_data_ptr() : nullptr}};

  int64_t scratch_bytes = 0;
  for (const Sequence& sequence : call.sequences) {
    scratch_bytes = std::max(scratch_bytes, call.kernels.backward_scratch(call.inputs, sequence.length));
  }
  const int64_t tasks = call.rows() * call.inputs.heads;
  if (tasks > 0) {
    parallel_for(0, tasks, call.grain(tasks), [&](int64_t first, int64_t last) {
      const Scratch scratch(scratch_bytes);
      for (int64_t task = first; task < last; ++task) {
        const int64_t row = task / call.inputs.heads, head = task % call.inputs.heads;
        BasedGradients grad = all;
        grad.after = call.state_of(all.after.kv, all.after.k, row, head);
        grad.before = call.state_of(all.before.kv, all.before.k, row, head);
        call.kernels.backward(call.inputs, call.sequence(row, head), grad, scratch.get());
      }
    });
  }
  return {grad_q, grad_k, grad_v, grad_kv_before, grad_k_before};
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("based_linear_attention", TORCH_BOX(&wkv::based_linear_attention_cpu));
  m.impl("_based_linear_attention_backward", TORCH_BOX(&wkv::based_linear_attention_backward_cpu));
}
