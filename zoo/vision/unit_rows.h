// Rows of length 1, as torch.nn.functional.normalize makes them: a row of zeros stays one.
#pragma once
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace wkv::zoo {

// x: [n, C] of any floating-point dtype. Returns fp32.
inline at::Tensor unit_rows(const at::Tensor& x) {
  const at::Tensor rows = x.to(at::kFloat);
  return rows / rows.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace wkv::zoo
