// Tensors in a file, whatever its container: the only interface between files and models. Reading is in tensor_entry.h.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {

// A tensor over the entry's own memory: no copy (but for data that is not aligned to its dtype).
WKV_API at::Tensor as_tensor(const TensorEntry& entry);

// Writes a .safetensors file whole or not at all (temporary file in the same folder, fsync, rename). Tensors may be of
// any layout in memory and on any device. Throws wkv::Error: disk_full, not_found (no such folder), unsupported_format,
// invalid_argument.
WKV_API void write_safetensors(const std::filesystem::path& path,
                               const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                               const std::map<std::string, std::string>& metadata = {});

}  // namespace wkv::zoo
