// The addresses of a model's tensors for kernels on raw pointers, and whether each tensor is what such a kernel reads.
#pragma once
#include <ATen/core/Tensor.h>

namespace wkv::models {

class Addresses {
 public:
  explicit Addresses(at::ScalarType dtype) : dtype_(dtype) {}

  // A parameter of the dtype; null for one that is not defined.
  const void* parameter(const at::Tensor& tensor) { return tensor.defined() ? check(tensor, dtype_) : nullptr; }
  const void* bytes(const at::Tensor& tensor) { return check(tensor, at::kByte); }
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
