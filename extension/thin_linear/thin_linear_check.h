// What _thin_linear refuses, for its kernel and its meta function.
#pragma once
#include <optional>

#include "core/linear_check.h"

namespace wkv {

template <class Tensor>
void check_thin_linear(const char* op, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  const Check<Tensor> check{op};
  check.dimensions("weight", weight, "[N, K]", 2);
  check.dtype("weight", weight, {ScalarType::Float, ScalarType::BFloat16, ScalarType::Half});
  const auto shape = sizes_of(weight);
  check_linear_inputs(op, x, "weight", weight, &shape[1], shape[0], bias);
}

}  // namespace wkv
