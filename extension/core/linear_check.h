// What the products y = x W^T + bias refuse of x and bias, whatever the matrix is kept in.
#pragma once
#include <optional>

#include "core/check.h"

namespace wkv {

// matrix: the argument with W [N, K]; the number of columns is not always known.
template <class Tensor>
void check_linear_inputs(const char* op, const Tensor& x, const char* matrix_name, const Tensor& matrix,
                         const typename SizesOf<Tensor>::value_type* columns,
                         const typename SizesOf<Tensor>::value_type& rows, const std::optional<Tensor>& bias) {
  const Check<Tensor> check{op};
  if (!x.defined()) fail(op, ": x must be a tensor, got None");
  auto shape = sizes_of(x);
  if (shape.empty()) fail(op, ": x must have the dimensions [..., K], got shape []");
  if (columns) shape.back() = *columns;
  check.shape("x", x, "[..., K]", shape);
  check.dtype("x", x, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half});
  check.same_device(matrix_name, matrix, "x", x);
  if (!bias) return;
  check.shape("bias", *bias, "[N]", {rows});
  check.parameter_dtype("bias", *bias, x.scalar_type());
  check.same_device("bias", *bias, "x", x);
}

}  // namespace wkv
