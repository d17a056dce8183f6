// .safetensors: 8 bytes of header length, a JSON header of names, dtypes, shapes and offsets, then the raw tensors.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {

// Entries in the order of their data, which they share; `owner` keeps it alive. Every byte after the header belongs to
// exactly one tensor, or the file is refused: wkv::Error, beginning with `path`.
TensorSource parse_safetensors(std::span<std::byte> bytes, const std::shared_ptr<void>& owner, const std::string& path);

}  // namespace wkv::zoo
