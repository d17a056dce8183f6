#pragma once
#include <string>

#include "wkv/models/vrwkv.h"

namespace wkv::models {

// As complete() of VisionTrunkOptions, for all options of a VRWKV.
VRWKVOptions complete(VRWKVOptions options);

// Upstream's configuration keys, as a JSON object.
std::string to_config_json(const VRWKVOptions& options);

}  // namespace wkv::models
