// Opening a checkpoint, and what it holds, in terms that need no torch library: names, types, shapes and memory.
#pragma once
#include <torch/headeronly/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

// One tensor as the file has it. `data` points into a private (copy-on-write) mapping that `owner` keeps alive: its
// memory may be written to, the file never changes.
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

  WKV_API const TensorEntry* find(std::string_view name) const;  // null when there is none
};

// Opens a checkpoint, told by its content and not by its suffix: .safetensors (also a *.index.json that lists shards),
// .pth in both of torch's containers, or a folder that holds one of these. A .pth file may wrap its tensors
// ({"state_dict": {...}}); names come out as they are inside of the wrapper. Throws wkv::Error: not_found,
// corrupt_file, unsupported_format, invalid_argument.
WKV_API TensorSource open_tensors(const std::filesystem::path& path);

}  // namespace wkv::zoo
