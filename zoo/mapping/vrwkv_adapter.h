// What files with Vision-RWKV's dense adapter tell of it, whatever stands behind it.
#pragma once
#include <string>

#include "mapping/checkpoint.h"
#include "wkv/models/vrwkv_adapter.h"

namespace wkv::zoo {

// Does the file have an adapter, around blocks with a tensor of this name?
bool has_adapter(const Checkpoint& file, const std::string& att_parameter);

// Sizes proven from shapes, the rest from the configuration, or, where it doesn't say, as published. Throws wkv::Error
// where post_norm, which no tensor tells, is given neither by the configuration nor by a published size.
models::VRWKVAdapterOptions read_adapter(const Checkpoint& file, Config& config);

}  // namespace wkv::zoo
