// Tensors in a file, whatever its container: the only interface between files and models.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

// One tensor as the file has it. `data` points into a private (copy-on-write) mapping that `owner` keeps alive; the
// file never changes.
struct TensorEntry {
  std::string name;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // in elements; checked to stay inside the mapping
  std::byte* data = nullptr;
  std::shared_ptr<void> owner;
};

struct TensorSource {
  std::string container;                        // "safetensors", "pth", "pth (legacy)"
  std::vector<TensorEntry> entries;             // in the file's order, names unique
  std::map<std::string, std::string> metadata;  // safetensors' __metadata__

  WKV_API const TensorEntry* find(const std::string& name) const;  // null when there is none
};

// A tensor over the entry's own memory: no copy (but for data that is not aligned to its dtype).
WKV_API at::Tensor as_tensor(const TensorEntry& entry);

// Opens a checkpoint, told by its content and not by its suffix: .safetensors (also a *.index.json that lists shards),
// .pth in both of torch's containers, or a folder that holds one of these. Throws wkv::Error: not_found, corrupt_file,
// unsupported_format.
WKV_API TensorSource open_tensors(const std::filesystem::path& path);

// Writes a .safetensors file whole or not at all (temporary file in the same folder, fsync, rename).
WKV_API void write_safetensors(const std::filesystem::path& path,
                               const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                               const std::map<std::string, std::string>& metadata = {});

}  // namespace wkv::zoo
