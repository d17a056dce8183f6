// What _squared_relu and its backward refuse, for their kernels and their meta functions.
#pragma once
#include "core/check.h"

namespace wkv {

template <class Tensor>
void check_squared_relu(const char* op, const Tensor& x) {
  const Check<Tensor> check{op};
  if (!x.defined()) fail(op, ": x must be a tensor, got None");
  check.shape("x", x, "[...]", sizes_of(x));
  check.dtype("x", x, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half, ScalarType::Double});
}

// The gradient of the output, for an x that check_squared_relu let through.
template <class Tensor>
void check_squared_relu_gradient(const char* op, const Tensor& grad_y, const Tensor& x) {
  const Check<Tensor> check{op};
  check.shape("grad_y", grad_y, "[...]", sizes_of(x));
  check.dtype("grad_y", grad_y, {x.scalar_type()});
  check.same_device("grad_y", grad_y, "x", x);
}

}  // namespace wkv
