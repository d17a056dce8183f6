// A tensor that is made when its writer comes to it, so that one at a time is in memory.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

struct LazyTensor {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> value;  // of this dtype and shape, in any layout, on any device; called once

  uint64_t nbytes() const;
};

// One that is there already.
WKV_API LazyTensor lazy(std::string name, at::Tensor tensor);

// Throws wkv::Error for names and dtypes that no file holds; path: for messages.
void check_writable(const std::filesystem::path& path, const std::vector<LazyTensor>& tensors);

// Makes the tensor, gives `write` its bytes row by row, and lets go of it.
void write_bytes_of(LazyTensor& tensor, const std::function<void(std::span<const std::byte>)>& write);

}  // namespace wkv::zoo
