// What the kernel library uses of PyTorch's stable ABI, in namespace wkv.
#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include "core/io_type.h"
#include "core/parallel.h"

namespace wkv {

using torch::headeronly::ScalarType;
using torch::stable::new_empty;
using torch::stable::Tensor;

// torch::stable::contiguous goes through the dispatcher even where there is nothing to do, which is half a microsecond.
inline Tensor as_contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

// The kernel-table index of a dtype that the op's checks let through.
inline IoType io_type(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Double:
      return IoType::kDouble;
    case ScalarType::BFloat16:
      return IoType::kBFloat16;
    case ScalarType::Half:
      return IoType::kHalf;
    default:
      return IoType::kFloat;
  }
}

inline int64_t element_bytes(const Tensor& tensor) {
  constexpr int64_t kBytes[kIoTypes] = {4, 8, 2, 2};
  return kBytes[static_cast<int>(io_type(tensor))];
}

inline ScalarType state_type(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

}  // namespace wkv
