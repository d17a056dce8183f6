// model.safetensors in a folder, or, where it would be too large for one file, its shards and their index.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/lazy_tensor.h"
#include "wkv/export.h"

namespace wkv::zoo {

// A file holds up to shard_bytes, or one tensor that is larger. Throws wkv::Error.
WKV_API void write_sharded(const std::filesystem::path& folder, std::vector<LazyTensor> tensors,
                           const std::map<std::string, std::string>& metadata, uint64_t shard_bytes);

}  // namespace wkv::zoo
