#pragma once
#include <string>

#include "wkv/models/rwkv_clip.h"
#include "wkv/models/vision_options.h"

namespace wkv::models {

// The options with every 0 that stands for a rule replaced. Throws wkv::Error for options that fit no model.
RWKVCLIPOptions complete(RWKVCLIPOptions options);

// Those of the image tower as a trunk of VRWKV6.
VisionTrunkOptions image_trunk(const RWKVCLIPOptions& options);

// Upstream's configuration keys, as a JSON object.
std::string to_config_json(const RWKVCLIPOptions& options);

}  // namespace wkv::models
