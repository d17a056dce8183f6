// _mix_tokens and its backward on the CPU: checks, outputs, and the division of the tokens among threads.
#include <algorithm>
#include <cstring>

#include "core/parameter_sums.h"
#include "core/sequences.h"
#include "mix_tokens/mix_tokens.h"
#include "mix_tokens/mix_tokens_check.h"

namespace wkv {
namespace {

using OptionalTensor = std::optional<Tensor>;

struct MixTokensCall {
  Tensor x, last, mixes;
  OptionalTensor changes;
  std::vector<Sequence> sequences;
  MixTokensInputs inputs;
  int64_t row_bytes;
  const MixTokensKernels& kernels;

  // The arguments have been checked.
  MixTokensCall(const char* op, const Tensor& x_, const Tensor& last_, const Tensor& mixes_,
                const OptionalTensor& changes_, const OptionalTensor& cu_seqlens)
      : x(as_contiguous(x_)),
        last(as_contiguous(last_)),
        mixes(as_contiguous(mixes_)),
        changes(changes_ ? OptionalTensor(as_contiguous(*changes_)) : std::nullopt),
        sequences(sequences_of(op, x.size(0), x.size(1), cu_seqlens)),
        inputs{.x = x.const_data_ptr(),
               .mixes = {mixes.const_data_ptr(), mixes.scalar_type() == ScalarType::Float},
               .changes = changes ? changes->const_data_ptr() : nullptr,
               .count = mixes.size(0),
               .tokens = x.size(0) * x.size(1),
               .channels = x.size(2)},
        row_bytes(inputs.channels * element_bytes(x)),
        kernels(mix_tokens_kernels().of[static_cast<int>(io_type(x))]) {}

  int64_t grain() const {
    constexpr int64_t kWorthwhile = 1 << 15;  // elements: some 20 microseconds
    return kWorthwhile / std::max<int64_t>(1, inputs.channels * inputs.count) + 1;
  }
  template <class Byte>
  Byte* row(Byte* rows, int64_t i) const {
    return rows + i * row_bytes;
  }
  const char* x_row(int64_t token) const { return row(static_cast<const char*>(inputs.x), token); }
  const char* before(int64_t row_of_last) const {
    return row(static_cast<const char*>(last.const_data_ptr()), row_of_last);
  }

  // Calls use(run, row of the sequence, whether the run ends it) for the tokens first, ..., last - 1.
  template <class Use>
  void for_runs(int64_t first, int64_t end, const Use& use) const {
    const auto starts_later = [](int64_t token, const Sequence& sequence) { return token < sequence.first_token; };
    auto sequence = std::upper_bound(sequences.begin(), sequences.end(), first, starts_later) - 1;
    for (; first < end; ++sequence) {
      const int64_t sequence_end = sequence->first_token + sequence->length, run_end = std::min(end, sequence_end);
      if (run_end <= first) continue;
      const int64_t index = sequence - sequences.begin();
      use(MixTokensRun{first, run_end, first == sequence->first_token ? before(index) : x_row(first - 1)}, index,
          run_end == sequence_end);
      first = run_end;
    }
  }
};

std::tuple<Tensor, Tensor> mix_tokens_cpu(Tensor x, Tensor last, Tensor mixes, OptionalTensor changes,
                                          OptionalTensor cu_seqlens) {
  check_mix_tokens("_mix_tokens", x, last, mixes, changes, cu_seqlens);
  const MixTokensCall call("_mix_tokens", x, last, mixes, changes, cu_seqlens);
  Tensor mixed = new_empty(call.x, {call.inputs.count, x.size(0), x.size(1), x.size(2)});
  Tensor last_after = new_empty(call.x, call.last.sizes());
  void* const to = mixed.mutable_data_ptr();
  parallel_for(0, call.inputs.tokens, call.grain(), [&](int64_t first, int64_t end) {
    call.for_runs(first, end,
                  [&](const MixTokensRun& run, int64_t, bool) { call.kernels.forward(call.inputs, run, to); });
  });
  auto* const after = static_cast<char*>(last_after.mutable_data_ptr());
  for (size_t i = 0; i < call.sequences.size(); ++i) {
    const auto& [first_token, length] = call.sequences[i];
    const auto index = static_cast<int64_t>(i);
    const char* const from = length > 0 ? call.x_row(first_token + length - 1) : call.before(index);
    if (call.row_bytes > 0) std::memcpy(call.row(after, index), from, static_cast<size_t>(call.row_bytes));
  }
  return {mixed, last_after};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> mix_tokens_backward_cpu(Tensor grad_mixed, Tensor grad_last, Tensor x,
                                                                   Tensor last, Tensor mixes, OptionalTensor changes,
                                                                   OptionalTensor cu_seqlens) {
  const char* const op = "__mix_tokens_backward";
  check_mix_tokens(op, x, last, mixes, changes, cu_seqlens);
  check_mix_tokens_gradients(op, grad_mixed, grad_last, x, mixes, cu_seqlens);
  const MixTokensCall call(op, x, last, mixes, changes, cu_seqlens);
  grad_mixed = as_contiguous(grad_mixed);
  grad_last = as_contiguous(grad_last);
  Tensor grad_x = new_empty(call.x, call.x.sizes());
  Tensor grad_changes = call.changes ? new_empty(call.x, call.changes->sizes()) : new_empty(grad_mixed, {0});
  // A sequence without tokens passes its `last` on.
  Tensor grad_before = torch::stable::clone(grad_last);
  const ParameterSums sums(call.x, call.inputs.tokens, 1, call.inputs.count * call.inputs.channels);
  const auto* const after = static_cast<const char*>(grad_last.const_data_ptr());
  auto* const before = static_cast<char*>(grad_before.mutable_data_ptr());
  MixTokensGradients all{.mixed = grad_mixed.const_data_ptr(),
                         .x = grad_x.mutable_data_ptr(),
                         .changes = call.changes ? grad_changes.mutable_data_ptr() : nullptr};
  parallel_for(0, sums.groups, 1, [&](int64_t first, int64_t end) {
    for (int64_t group = first; group < end; ++group) {
      call.for_runs(sums.first(group), sums.first(group + 1), [&](const MixTokensRun& run, int64_t row, bool ends) {
        MixTokensGradients grad = all;
        grad.mixes = sums.at(0, group);
        grad.last = ends ? call.row(after, row) : nullptr;
        grad.next_in_sequence = !ends;
        grad.before = run.first == call.sequences[row].first_token ? call.row(before, row) : nullptr;
        call.kernels.backward(call.inputs, run, grad);
      });
    }
  });
  return {grad_x, grad_before, sums.total(0, call.mixes), grad_changes};
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("_mix_tokens", TORCH_BOX(&wkv::mix_tokens_cpu));
  m.impl("__mix_tokens_backward", TORCH_BOX(&wkv::mix_tokens_backward_cpu));
}
