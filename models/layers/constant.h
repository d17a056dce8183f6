// Tensors of values that depend on shapes alone.
#pragma once
#include <ATen/TracerMode.h>
#include <ATen/ops/tensor.h>

#include <vector>

namespace wkv::models {

// [n]. For a tracer it is a part of the model: at::tensor writes through an address, which a tracer doesn't see.
template <typename T>
at::Tensor constant(const std::vector<T>& values, const at::TensorOptions& options) {
  const at::tracer::impl::NoTracerDispatchMode untraced;
  return at::tensor(values, options);
}

}  // namespace wkv::models
