// What half-precision models compute in fp32: decays, norms, and what goes into exp().
#pragma once
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>

namespace wkv::models {

inline at::ScalarType at_least_float(at::ScalarType dtype) { return dtype == at::kDouble ? dtype : at::kFloat; }
inline at::Tensor at_least_float(const at::Tensor& x) { return x.to(at_least_float(x.scalar_type())); }

// What matrix products make of x: under autocast its dtype, as PyTorch's own products.
inline at::ScalarType product_dtype(const at::Tensor& x) {
  const c10::DeviceType device = x.device().type();
  const bool casts = x.scalar_type() != at::kDouble && at::autocast::is_autocast_enabled(device);
  return casts ? at::autocast::get_autocast_dtype(device) : x.scalar_type();
}

}  // namespace wkv::models
