// What _thin_linear refuses, for its kernel and its meta function.
#pragma once
#include <optional>

#include "core/check.h"

namespace wkv {

template <class Tensor>
void check_thin_linear(const char* op, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  const Check<Tensor> check{op};
  check.dimensions("weight", weight, "[N, K]", 2);
  check.dtype("weight", weight, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half});
  if (!x.defined()) fail(op, ": x must be a tensor, got None");
  auto shape = sizes_of(x);
  if (shape.empty()) fail(op, ": x must have the dimensions [..., K], got shape []");
  shape.back() = sizes_of(weight)[1];
  check.shape("x", x, "[..., K]", shape);
  check.dtype("x", x, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half});
  check.same_device("weight", weight, "x", x);
  if (!bias) return;
  check.shape("bias", *bias, "[N]", {sizes_of(weight)[0]});
  check.parameter_dtype("bias", *bias, x.scalar_type());
  check.same_device("bias", *bias, "x", x);
}

}  // namespace wkv
