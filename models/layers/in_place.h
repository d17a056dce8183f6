// Elementwise steps on a tensor that the caller alone holds: it is overwritten where no gradient needs what it held,
// which saves memory, and the time to get it.
#pragma once
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

namespace wkv::models {

// Whether the result of `own` and x may be written over `own`: not where it has another dtype, as under autocast.
inline bool may_overwrite(const at::Tensor& own, const at::Tensor& x) {
  return !at::GradMode::is_enabled() && own.scalar_type() == x.scalar_type();
}

inline at::Tensor plus(const at::Tensor& own, const at::Tensor& x) {
  return may_overwrite(own, x) ? own.add_(x) : own + x;
}
inline at::Tensor times(const at::Tensor& own, const at::Tensor& x) {
  return may_overwrite(own, x) ? own.mul_(x) : own * x;
}
inline at::Tensor sigmoid_of(const at::Tensor& own) {
  return may_overwrite(own, own) ? own.sigmoid_() : at::sigmoid(own);
}

}  // namespace wkv::models
