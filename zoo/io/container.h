// Which container a file is, told by its first bytes.
#pragma once
#include <memory>

#include "io/mapped_file.h"
#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {

// Reads one file that holds tensors itself. What is no such file is refused by the name of what it is.
TensorSource read_container(const std::shared_ptr<MappedFile>& file);

// A JSON text: the index of a sharded checkpoint.
bool is_index(const MappedFile& file);

}  // namespace wkv::zoo
