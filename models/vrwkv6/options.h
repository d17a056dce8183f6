#pragma once
#include <string>

#include "wkv/models/vrwkv6.h"

namespace wkv::models {

// As complete() of VisionTrunkOptions, for all options of a VRWKV6.
VRWKV6Options complete(VRWKV6Options options);

// Upstream's configuration keys, as a JSON object.
std::string to_config_json(const VRWKV6Options& options);

}  // namespace wkv::models
