// A checkpoint in several files: an index in JSON says which tensor is in which shard.
#pragma once
#include <memory>

#include "io/mapped_file.h"
#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {

// Every tensor must be exactly where the index says. Shards lie in the folder of the index.
TensorSource read_sharded(const std::shared_ptr<MappedFile>& index);

}  // namespace wkv::zoo
