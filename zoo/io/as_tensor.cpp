#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstring>

#include "io/layout.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {

at::Tensor as_tensor(const TensorEntry& entry) {
  const auto options = at::TensorOptions().dtype(entry.dtype);
  const auto extent = memory_extent(entry.shape, entry.strides);
  const int64_t item = element_bytes(entry.dtype);
  if (!extent || item == 0)
    throw Error(ErrorCode::invalid_argument, "tensor \"" + entry.name + "\" has no valid layout or dtype");
  if (*extent == 0) return at::empty(entry.shape, options);
  if (reinterpret_cast<uintptr_t>(entry.data) % static_cast<uintptr_t>(item) != 0) {
    const at::Tensor copy = at::empty({*extent}, options);
    std::memcpy(copy.mutable_data_ptr(), entry.data, static_cast<size_t>(*extent * item));
    return copy.as_strided(entry.shape, entry.strides);
  }
  return at::from_blob(
      entry.data, entry.shape, entry.strides, [owner = entry.owner](void*) {}, options);
}

}  // namespace wkv::zoo
