// The addresses of a model's tensors for kernels on raw pointers, and whether each tensor is what such a kernel reads.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

#include "layers/linear.h"
#include "wkv/decode_matrix.h"

namespace wkv::models {

// None for dtypes that the kernels don't know.
inline std::optional<ParameterType> parameter_type(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return ParameterType::kFloat;
    case at::kBFloat16:
      return ParameterType::kBFloat16;
    case at::kHalf:
      return ParameterType::kHalf;
    default:
      return std::nullopt;
  }
}

class Addresses {
 public:
  explicit Addresses(at::ScalarType dtype) : dtype_(dtype) {}

  // A parameter of the dtype; null for one that is not defined.
  const void* parameter(const at::Tensor& tensor) { return tensor.defined() ? check(tensor, dtype_) : nullptr; }
  // Of a matrix of the dtype, or quantised; without bias.
  DecodeMatrix matrix(const Linear& linear) {
    const at::Tensor& weight = linear.weight;
    require(!linear.bias.defined());
    if (linear.quantized()) return {check(weight, at::kByte), linear.outputs(), linear.inputs(), weight.size(1)};
    return {parameter(weight), weight.size(0), weight.size(1)};
  }
  // A pool's entry [P, ...], of which each row is contiguous.
  void* states(const at::Tensor& entry, at::ScalarType dtype) {
    all_serve_ = all_serve_ && entry.is_cpu() && entry.scalar_type() == dtype && entry.select(0, 0).is_contiguous();
    return entry.mutable_data_ptr();
  }
  void require(bool condition) { all_serve_ = all_serve_ && condition; }

  bool all_serve() const { return all_serve_; }

 private:
  const void* check(const at::Tensor& tensor, at::ScalarType dtype) {
    all_serve_ = all_serve_ && tensor.is_cpu() && tensor.is_contiguous() && tensor.scalar_type() == dtype;
    return tensor.const_data_ptr();
  }

  at::ScalarType dtype_;
  bool all_serve_ = true;
};

}  // namespace wkv::models
