// .safetensors: 8 bytes of header length, a JSON header of names, dtypes, shapes and offsets, then the raw tensors.
#pragma once
#include <memory>

#include "io/mapped_file.h"
#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {

// Entries in the order of their data. Every byte after the header belongs to exactly one tensor, or the file is
// refused.
TensorSource read_safetensors(const std::shared_ptr<MappedFile>& file);

}  // namespace wkv::zoo
