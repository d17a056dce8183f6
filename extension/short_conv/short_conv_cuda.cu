// short_conv and its backward on CUDA.
#include "core/cuda/launch.h"
#include "short_conv/short_conv_check.h"
#include "short_conv/short_conv_kernels.cuh"

namespace wkv::cuda {
namespace {

using OptionalTensor = std::optional<Tensor>;

OptionalTensor contiguous_if_given(const OptionalTensor& tensor) {
  return tensor ? OptionalTensor(as_contiguous(*tensor)) : std::nullopt;
}

struct ShortConv {
  Device device;
  Tensor x, weight;
  OptionalTensor bias, state;
  ShortConvCall call;

  // The arguments have been checked.
  ShortConv(const char* op, const Tensor& x_, const Tensor& weight_, const OptionalTensor& bias_,
            const OptionalTensor& state_, bool silu, const OptionalTensor& cu_seqlens)
      : device(x_),
        x(as_contiguous(x_)),
        weight(as_contiguous(weight_)),
        bias(contiguous_if_given(bias_)),
        state(contiguous_if_given(state_)),
        call{.sequences = device.sequences(op, x.size(0), x.size(1), cu_seqlens),
             .segment = 16,
             .channels = x.size(2),
             .taps = weight.size(2),
             .weight = weight.const_data_ptr(),
             .bias = bias ? bias->const_data_ptr() : nullptr,
             .float_weight = weight.scalar_type() == ScalarType::Float,
             .float_bias = bias && bias->scalar_type() == ScalarType::Float,
             .silu = silu} {
    // Longer segments read less twice; shorter ones keep a small input's threads more.
    const int64_t enough = int64_t{4096} * device.multiprocessors();
    while (call.segment < 256 && call.slots() * call.channels / kChannels > enough) call.segment *= 2;
  }

  static constexpr int kChannels = 4;  // of a thread of a special kernel

  // run(taps, channels): what is known to the compiler. fp64 has the general form only.
  template <class io_t, class Run>
  void with_form(std::initializer_list<const void*> rows, const Run& run) const {
    bool aligned = call.channels % kChannels == 0;
    for (const void* row : rows) {
      aligned = aligned && reinterpret_cast<uintptr_t>(row) % alignof(Vector<io_t, kChannels>) == 0;
    }
    if constexpr (!std::is_same_v<io_t, double>) {
      using Channels = std::integral_constant<int, kChannels>;
      if (aligned && call.taps == 3) return run(std::integral_constant<int, 3>{}, Channels{});
      if (aligned && call.taps == 4) return run(std::integral_constant<int, 4>{}, Channels{});
    }
    run(std::integral_constant<int, 0>{}, std::integral_constant<int, 1>{});
  }
  // Blocks are small where shared memory holds values of each thread.
  template <class io_t, int kTaps, int kThreadChannels>
  void launch(void (*kernel)(ShortConvCall, ShortConvTensors<io_t>), int arrays,
              const ShortConvTensors<io_t>& tensors) const {
    constexpr int threads = kTaps > 0 ? 128 : 64;
    const int64_t all = call.slots() * (call.channels / kThreadChannels),
                  shared = kTaps > 0 ? 0 : arrays * call.taps * threads * int64_t{sizeof(accumulate_t<io_t>)};
    device.launch(kernel, (all + threads - 1) / threads, threads, shared, call, tensors);
  }
};

std::tuple<Tensor, Tensor> short_conv(Tensor x, Tensor weight, OptionalTensor bias, OptionalTensor state, bool silu,
                                      OptionalTensor cu_seqlens) {
  check_short_conv("short_conv", x, weight, bias, state, cu_seqlens);
  const ShortConv op("short_conv", x, weight, bias, state, silu, cu_seqlens);
  Tensor y = new_empty(op.x, op.x.sizes());
  Tensor state_after = new_empty(op.x, {op.call.sequences.count, op.call.channels, op.call.taps}, state_type(op.x));
  for_io_type(op.x, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    const ShortConvTensors<io_t> tensors{.x = data<io_t>(op.x),
                                         .state = data_if<acc_t>(op.state),
                                         .y = data<io_t>(y),
                                         .state_after = data<acc_t>(state_after)};
    op.with_form<io_t>({tensors.x, tensors.y}, [&](auto taps, auto channels) {
      op.launch<io_t, taps, channels>(short_conv_kernel<io_t, taps, channels>, kShortConvForwardArrays, tensors);
    });
  });
  return {y, state_after};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> short_conv_backward(Tensor grad_y, Tensor grad_state, Tensor x,
                                                               Tensor weight, OptionalTensor bias, OptionalTensor state,
                                                               bool silu, OptionalTensor cu_seqlens) {
  const char* const name = "_short_conv_backward";
  check_short_conv(name, x, weight, bias, state, cu_seqlens);
  check_short_conv_gradients(name, grad_y, grad_state, x, weight, cu_seqlens);
  const ShortConv op(name, x, weight, bias, state, silu, cu_seqlens);
  grad_y = as_contiguous(grad_y);
  grad_state = as_contiguous(grad_state);
  const auto gradient_of = [](const Tensor& tensor) { return new_empty(tensor, tensor.sizes()); };
  const auto gradient_if_given = [&](const OptionalTensor& tensor) {
    return tensor ? gradient_of(*tensor) : new_empty(grad_y, {0});
  };
  Tensor grad_x = gradient_of(op.x), grad_weight = gradient_of(op.weight), grad_bias = gradient_if_given(op.bias),
         grad_before = gradient_if_given(op.state);
  const Tensor parts = new_empty(op.x, {op.call.slots(), op.call.taps + 1, op.call.channels}, state_type(op.x));
  for_io_type(op.x, [&](auto io) {
    using io_t = decltype(io);
    using acc_t = accumulate_t<io_t>;
    const ShortConvTensors<io_t> tensors{.x = data<io_t>(op.x),
                                         .state = data_if<acc_t>(op.state),
                                         .y = data<io_t>(grad_y),
                                         .state_after = data<acc_t>(grad_state),
                                         .grad_x = data<io_t>(grad_x),
                                         .grad_state = op.state ? data<acc_t>(grad_before) : nullptr,
                                         .grad_parameters = data<acc_t>(parts)};
    op.with_form<io_t>({tensors.x, tensors.y, tensors.grad_x}, [&](auto taps, auto channels) {
      op.launch<io_t, taps, channels>(short_conv_backward_kernel<io_t, taps, channels>, kShortConvBackwardArrays,
                                      tensors);
    });
    constexpr int kThreads = 512;
    op.device.launch(sum_short_conv_parts<io_t>, (op.call.channels + 31) / 32 * (op.call.taps + 1), kThreads,
                     kThreads * int64_t{sizeof(acc_t)}, op.call, tensors.grad_parameters,
                     grad_weight.mutable_data_ptr(), op.bias ? grad_bias.mutable_data_ptr() : nullptr);
  });
  return {grad_x, grad_weight, grad_bias, grad_before};
}

}  // namespace
}  // namespace wkv::cuda

WKV_CUDA_LIBRARY(m) {
  m.impl("short_conv", TORCH_BOX(&wkv::cuda::short_conv));
  m.impl("_short_conv_backward", TORCH_BOX(&wkv::cuda::short_conv_backward));
}
