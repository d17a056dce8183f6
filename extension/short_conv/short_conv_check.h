// What short_conv and _short_conv_backward refuse, for their kernels and their meta functions.
#pragma once
#include <optional>

#include "core/check.h"

namespace wkv {

inline constexpr int64_t kShortConvMaxKernelSize = 64;

template <class Tensor>
void check_short_conv_state(const Check<Tensor>& check, const char* name, const Tensor& state, const Tensor& x,
                            const Tensor& weight, const std::optional<Tensor>& cu_seqlens) {
  auto rows = sizes_of(x)[0];
  if (cu_seqlens) rows = sizes_of(*cu_seqlens)[0] - 1;
  check.shape(name, state, cu_seqlens ? "[S, C, K]" : "[B, C, K]", {rows, sizes_of(x)[2], sizes_of(weight)[2]});
  check.dtype(name, state, {x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float});
  check.same_device(name, state, "x", x);
}

template <class Tensor>
void check_short_conv(const char* op, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                      const std::optional<Tensor>& state, const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.dimensions("x", x, "[B, T, C]", 3);
  check.dimensions("weight", weight, "[C, 1, K]", 3);
  const auto channels = sizes_of(x)[2], kernel_size = sizes_of(weight)[2];
  check.shape("weight", weight, "[C, 1, K]", {channels, 1, kernel_size});
  if (kernel_size < 1 || kernel_size > kShortConvMaxKernelSize) {
    fail(op, ": the kernel size K of weight must be 1 to ", kShortConvMaxKernelSize, ", got ", kernel_size);
  }
  if (bias) check.shape("bias", *bias, "[C]", {channels});
  if (cu_seqlens) check.cu_seqlens(*cu_seqlens, "x", x);

  const ScalarType type = x.scalar_type();
  check.dtype("x", x, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  const auto parameter = [&](const char* name, const Tensor& tensor) {
    check.parameter_dtype(name, tensor, type);
    check.same_device(name, tensor, "x", x);
  };
  parameter("weight", weight);
  if (bias) parameter("bias", *bias);
  if (state) check_short_conv_state(check, "state", *state, x, weight, cu_seqlens);
}

// The gradients of the outputs, for arguments that check_short_conv let through.
template <class Tensor>
void check_short_conv_gradients(const char* op, const Tensor& grad_y, const Tensor& grad_state, const Tensor& x,
                                const Tensor& weight, const std::optional<Tensor>& cu_seqlens) {
  const Check<Tensor> check{op};
  check.shape("grad_y", grad_y, "[B, T, C]", sizes_of(x));
  check.dtype("grad_y", grad_y, {x.scalar_type()});
  check.same_device("grad_y", grad_y, "x", x);
  check_short_conv_state(check, "grad_state", grad_state, x, weight, cu_seqlens);
}

}  // namespace wkv
