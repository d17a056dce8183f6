// Vectors of length 1, whose products are cosines.
#pragma once
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace wkv::models {

// x [..., C] over the Euclidean length of each row; a row shorter than 1e-12 is divided by that.
inline at::Tensor unit_length(const at::Tensor& x) {
  return x / at::norm(x, 2, /*dim=*/-1, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace wkv::models
