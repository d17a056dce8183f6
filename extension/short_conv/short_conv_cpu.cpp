// short_conv and its backward on the CPU: checks, outputs, and the division of the work among threads. The arithmetic
// is in the *_isa files. A result does not depend on the number of threads: blocks of channels are computed alike in
// any task, and a block's parameter gradients are summed by one task.
#include <algorithm>

#include "core/scratch.h"
#include "core/sequences.h"
#include "short_conv/short_conv.h"
#include "short_conv/short_conv_check.h"

namespace wkv {
namespace {

using OptionalTensor = std::optional<Tensor>;

struct ShortConvCall {
  Tensor x, weight;
  OptionalTensor bias, state;
  std::vector<ShortConvSequence> sequences;
  ShortConvInputs inputs;
  const ShortConvKernels& kernels;

  // The arguments have been checked.
  ShortConvCall(const char* op, const Tensor& x_, const Tensor& weight_, const OptionalTensor& bias_,
                const OptionalTensor& state_, bool silu, const OptionalTensor& cu_seqlens)
      : x(as_contiguous(x_)),
        weight(as_contiguous(weight_)),
        bias(bias_ ? OptionalTensor(as_contiguous(*bias_)) : std::nullopt),
        state(state_ ? OptionalTensor(as_contiguous(*state_)) : std::nullopt),
        inputs{.x = x.const_data_ptr(),
               .weight = weight.const_data_ptr(),
               .bias = bias ? bias->const_data_ptr() : nullptr,
               .float_weight = weight.scalar_type() == ScalarType::Float,
               .float_bias = bias && bias->scalar_type() == ScalarType::Float,
               .channels = x.size(2),
               .kernel_size = weight.size(2),
               .silu = silu},
        kernels(short_conv_kernels().of[static_cast<int>(io_type(x))]) {
    for (const Sequence& sequence : sequences_of(op, x.size(0), x.size(1), cu_seqlens)) {
      const auto row = static_cast<int64_t>(sequences.size());
      sequences.push_back(
          {sequence.first_token, sequence.length, state ? state_of(state->const_data_ptr(), row) : nullptr});
    }
  }

  int64_t blocks() const { return (inputs.channels + kShortConvChannels - 1) / kShortConvChannels; }
  ShortConvChannels block(int64_t i) const {
    return {i * kShortConvChannels, std::min((i + 1) * kShortConvChannels, inputs.channels)};
  }
  int64_t rows() const { return static_cast<int64_t>(sequences.size()); }
  const void* state_of(const void* states, int64_t row) const {
    return static_cast<const char*>(states) + row * state_bytes();
  }
  void* state_of(void* states, int64_t row) const { return static_cast<char*>(states) + row * state_bytes(); }
  // Tasks to give to a thread at least, so that one start of a thread is worth its cost.
  int64_t grain(int64_t tasks) const {
    constexpr int64_t kWorthwhile = 1 << 15;  // elements: some 20 microseconds
    const int64_t total = (x.size(0) * x.size(1) + inputs.kernel_size) * inputs.channels;
    return std::max<int64_t>(1, tasks * kWorthwhile / std::max<int64_t>(1, total));
  }

 private:
  int64_t state_bytes() const {
    return inputs.channels * inputs.kernel_size * (x.scalar_type() == ScalarType::Double ? 8 : 4);
  }
};

std::tuple<Tensor, Tensor> short_conv_cpu(Tensor x, Tensor weight, OptionalTensor bias, OptionalTensor state, bool silu,
                                          OptionalTensor cu_seqlens) {
  check_short_conv("short_conv", x, weight, bias, state, cu_seqlens);
  const ShortConvCall call("short_conv", x, weight, bias, state, silu, cu_seqlens);
  Tensor y = new_empty(call.x, call.x.sizes());
  Tensor state_after =
      new_empty(call.x, {call.rows(), call.inputs.channels, call.inputs.kernel_size}, state_type(call.x));
  void *const outputs = y.mutable_data_ptr(), *const states = state_after.mutable_data_ptr();

  const int64_t tasks = call.rows() * call.blocks();
  if (tasks == 0) return {y, state_after};
  parallel_for(0, tasks, call.grain(tasks), [&](int64_t first, int64_t last) {
    const Scratch scratch(call.kernels.forward_scratch(call.inputs));
    for (int64_t task = first; task < last; ++task) {
      const int64_t row = task / call.blocks();
      call.kernels.forward(call.inputs, call.sequences[row], {outputs, call.state_of(states, row)},
                           call.block(task % call.blocks()), scratch.get());
    }
  });
  return {y, state_after};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> short_conv_backward_cpu(Tensor grad_y, Tensor grad_state, Tensor x,
                                                                   Tensor weight, OptionalTensor bias,
                                                                   OptionalTensor state, bool silu,
                                                                   OptionalTensor cu_seqlens) {
  const char* const op = "_short_conv_backward";
  check_short_conv(op, x, weight, bias, state, cu_seqlens);
  check_short_conv_gradients(op, grad_y, grad_state, x, weight, cu_seqlens);
  const ShortConvCall call(op, x, weight, bias, state, silu, cu_seqlens);
  grad_y = as_contiguous(grad_y);
  grad_state = as_contiguous(grad_state);
  const auto gradient_of = [](const Tensor& tensor) { return new_empty(tensor, tensor.sizes()); };
  const auto gradient_if_given = [&](const OptionalTensor& tensor) {
    return tensor ? gradient_of(*tensor) : new_empty(grad_y, {0});
  };
  Tensor grad_x = gradient_of(call.x), grad_weight = gradient_of(call.weight), grad_bias = gradient_if_given(call.bias),
         grad_before = gradient_if_given(call.state);
  const ShortConvGradients grad{.y = grad_y.const_data_ptr(),
                                .state_after = grad_state.const_data_ptr(),
                                .x = grad_x.mutable_data_ptr(),
                                .weight = grad_weight.mutable_data_ptr(),
                                .bias = call.bias ? grad_bias.mutable_data_ptr() : nullptr,
                                .state_before = call.state ? grad_before.mutable_data_ptr() : nullptr};
  const int64_t blocks = call.blocks();
  if (blocks > 0) {
    parallel_for(0, blocks, call.grain(blocks), [&](int64_t first, int64_t last) {
      const Scratch scratch(call.kernels.backward_scratch(call.inputs));
      for (int64_t block = first; block < last; ++block) {
        call.kernels.backward(call.inputs, call.sequences.data(), call.rows(), grad, call.block(block), scratch.get());
      }
    });
  }
  return {grad_x, grad_weight, grad_bias, grad_before};
}

}  // namespace
}  // namespace wkv

STABLE_TORCH_LIBRARY_IMPL(wkv, CPU, m) {
  m.impl("short_conv", TORCH_BOX(&wkv::short_conv_cpu));
  m.impl("_short_conv_backward", TORCH_BOX(&wkv::short_conv_backward_cpu));
}
