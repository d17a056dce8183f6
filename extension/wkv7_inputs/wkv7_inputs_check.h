// What _wkv7_inputs and its backward refuse, for their kernels and their meta functions.
#pragma once
#include <optional>

#include "core/check.h"
#include "wkv7/wkv7.h"

namespace wkv {

template <class Tensor>
void check_wkv7_inputs(const char* op, const Tensor& decay, const Tensor& rate, const Tensor& k, const Tensor& w0,
                       const Tensor& a0, const Tensor& k_k, const Tensor& k_a, const std::optional<Tensor>& v,
                       const std::optional<Tensor>& first_value, const std::optional<Tensor>& residual,
                       const std::optional<Tensor>& v0) {
  const Check<Tensor> check{op};
  check.dimensions("k", k, "[B, T, H, N]", 4);
  const auto shape = sizes_of(k);
  const auto &heads = shape[2], &size = shape[3];
  if (size < 1 || size > kWkv7MaxHeadSize) {
    fail(op, ": the head size N of k must be 1 to ", kWkv7MaxHeadSize, ", got ", size);
  }
  const ScalarType type = k.scalar_type();
  check.dtype("k", k, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
  const auto sequence = [&](const char* name, const Tensor& tensor) {
    check.shape(name, tensor, "[B, T, H, N]", shape);
    check.dtype(name, tensor, {type});
    check.same_device(name, tensor, "k", k);
  };
  const auto parameter = [&](const char* name, const Tensor& tensor) {
    check.shape(name, tensor, "[H, N]", {heads, size});
    check.parameter_dtype(name, tensor, type);
    check.same_device(name, tensor, "k", k);
  };
  sequence("decay", decay);
  sequence("rate", rate);
  parameter("w0", w0);
  parameter("a0", a0);
  parameter("k_k", k_k);
  parameter("k_a", k_a);
  const bool has_v = v.has_value();
  if (has_v != first_value.has_value() || has_v != residual.has_value() || has_v != v0.has_value()) {
    fail(op, ": v, first_value, residual and v0 must be given together");
  }
  if (!has_v) return;
  sequence("v", *v);
  sequence("first_value", *first_value);
  sequence("residual", *residual);
  parameter("v0", *v0);
}

// The gradients of the outputs, for arguments that check_wkv7_inputs let through.
template <class Tensor>
void check_wkv7_inputs_gradients(const char* op, const Tensor& grad_w, const Tensor& grad_k, const Tensor& grad_a,
                                 const Tensor& grad_b, const Tensor& grad_v, const Tensor& k, bool has_v) {
  const Check<Tensor> check{op};
  const ScalarType type = k.scalar_type();
  const auto gradient = [&](const char* name, const Tensor& tensor, ScalarType expected) {
    check.shape(name, tensor, "[B, T, H, N]", sizes_of(k));
    check.dtype(name, tensor, {expected});
    check.same_device(name, tensor, "k", k);
  };
  gradient("grad_w", grad_w, type == ScalarType::Double ? ScalarType::Double : ScalarType::Float);
  gradient("grad_k", grad_k, type);
  gradient("grad_a", grad_a, type);
  gradient("grad_b", grad_b, type);
  if (has_v) gradient("grad_v", grad_v, type);
}

}  // namespace wkv
