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

constexpr int64_t kTokensInTurn = 2 * kBasedChunk;
constexpr int64_t kScratchTogether = 1024 << 10;  // bytes: a part of a core's second-level cache

OptionalTensor contiguous_if_given(const OptionalTensor& x) {
  return x ? OptionalTensor(contiguous(*x)) : std::nullopt;
}

struct BasedCall {
  Tensor q, k, v;
  OptionalTensor kv_state, k_state;
  std::vector<Sequence> sequences;
  BasedInputs inputs;
  const BasedKernels& kernels;

  // The arguments have been checked.
  BasedCall(const char* op, const Tensor& q_, const Tensor& k_, const Tensor& v_, const OptionalTensor& kv_state_,
            const OptionalTensor& k_state_, bool normalize, double eps, const OptionalTensor& cu_seqlens)
      : q(contiguous(q_)),
        k(contiguous(k_)),
        v(contiguous(v_)),
        kv_state(contiguous_if_given(kv_state_)),
        k_state(contiguous_if_given(k_state_)),
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

  int64_t heads() const { return static_cast<int64_t>(sequences.size()) * inputs.heads; }

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
    const int64_t d = inputs.feature_size, features = (d + 1) * (d + 2) / 2;
    const int64_t total = (q.size(0) * q.size(1) + 1) * inputs.heads * features * inputs.value_size;
    return std::max<int64_t>(1, tasks * kWorthwhile / std::max<int64_t>(1, total));
  }
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

  const int64_t heads = call.heads(), values = call.inputs.value_size;
  if (heads == 0) return {y, kv_after, k_after};
  // Columns are divided only where there are too few heads to occupy the threads.
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t blocks = (values + kBasedColumnBlock - 1) / kBasedColumnBlock;
  const int64_t parts = std::clamp<int64_t>((threads + heads - 1) / heads, 1, blocks);
  const int64_t width = (blocks + parts - 1) / parts * kBasedColumnBlock;
  const int64_t tasks_of_row = call.inputs.heads * parts;
  parallel_for(0, heads * parts, call.grain(heads * parts), [&](int64_t first, int64_t last) {
    const int64_t bytes = call.kernels.forward_scratch(call.inputs);
    const int64_t together = std::clamp<int64_t>(kScratchTogether / bytes, 1, last - first);
    const Scratch scratch(together * bytes);
    // Heads of a sequence take turns every few tokens: their rows share pages.
    for (int64_t begin = first, end; begin < last; begin = end) {
      const int64_t row = begin / tasks_of_row, length = call.sequences[row].length;
      end = std::min({last, begin + together, (row + 1) * tasks_of_row});
      int64_t token = 0;
      do {
        const int64_t next_token = std::min(token + kTokensInTurn, length);
        for (int64_t task = begin; task < end; ++task) {
          const int64_t head = task / parts % call.inputs.heads, first_value = task % parts * width;
          if (first_value >= values) continue;
          call.kernels.forward(call.inputs, call.sequence(row, head),
                               {outputs, call.state_of(kv_states, k_states, row, head)},
                               {token, next_token, first_value, std::min(values, first_value + width)},
                               scratch.get() + (task - begin) * bytes);
        }
        token = next_token;
      } while (token < length);
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
  grad_y = contiguous(grad_y);
  grad_kv_state = contiguous(grad_kv_state);
  grad_k_state = contiguous(grad_k_state);
  const auto gradient_of = [](const Tensor& x) { return new_empty(x, x.sizes()); };
  const auto gradient_if_given = [&](const OptionalTensor& x) {
    return x ? gradient_of(*x) : new_empty(grad_y, {0});
  };
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
  if (call.heads() > 0) {
    parallel_for(0, call.heads(), call.grain(call.heads()), [&](int64_t first, int64_t last) {
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
