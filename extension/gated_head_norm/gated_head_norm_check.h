// What _gated_head_norm and its backward refuse, for their kernels and their meta functions.
#pragma once
#include <optional>

#include "core/check.h"
#include "gated_head_norm/gated_head_norm.h"

namespace wkv {

template <class Tensor>
void check_gated_head_norm(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const Tensor& gate, const std::optional<Tensor>& r, const std::optional<Tensor>& k,
                           const std::optional<Tensor>& v, const std::optional<Tensor>& bonus, double eps) {
  const Check<Tensor> check{op};
  check.dimensions("x", x, "[B, T, H, N]", 4);
  const auto shape = sizes_of(x);
  const auto &heads = shape[2], &size = shape[3];
  if (size < 1 || size > kMostNormHeadSize) {
    fail(op, ": the head size N of x must be 1 to ", kMostNormHeadSize, ", got ", size);
  }
  check.shape("gate", gate, "[B, T, H, N]", shape);
  const ScalarType type = gate.scalar_type();
  check.dtype("gate", gate, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  check.same_device("gate", gate, "x", x);
  check.parameter_dtype("x", x, type);

  const auto parameter = [&](const char* name, const Tensor& tensor) {
    check.shape(name, tensor, "[H, N]", {heads, size});
    check.parameter_dtype(name, tensor, type);
    check.same_device(name, tensor, "x", x);
  };
  parameter("weight", weight);
  parameter("bias", bias);
  if (bonus) parameter("bonus", *bonus);
  for (const auto& [name, tensor] : {std::pair{"r", &r}, std::pair{"k", &k}, std::pair{"v", &v}}) {
    if (tensor->has_value() != bonus.has_value()) fail(op, ": r, k, v and bonus must be given together");
    if (!*tensor) continue;
    check.shape(name, **tensor, "[B, T, H, N]", shape);
    check.dtype(name, **tensor, {type});
    check.same_device(name, **tensor, "x", x);
  }
  if (!(eps >= 0)) fail(op, ": eps must not be negative, got ", eps);
}

// The gradient of the output, for arguments that check_gated_head_norm let through.
template <class Tensor>
void check_gated_head_norm_gradient(const char* op, const Tensor& grad_y, const Tensor& gate) {
  const Check<Tensor> check{op};
  check.shape("grad_y", grad_y, "[B, T, H, N]", sizes_of(gate));
  check.dtype("grad_y", grad_y, {gate.scalar_type()});
  check.same_device("grad_y", grad_y, "gate", gate);
}

}  // namespace wkv
