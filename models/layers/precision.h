// What half-precision models compute in fp32: decays, norms, and what goes into exp().
#pragma once
#include <ATen/core/Tensor.h>

namespace wkv::models {

inline at::ScalarType at_least_float(at::ScalarType dtype) { return dtype == at::kDouble ? dtype : at::kFloat; }
inline at::Tensor at_least_float(const at::Tensor& x) { return x.to(at_least_float(x.scalar_type())); }

}  // namespace wkv::models
