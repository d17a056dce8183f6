#pragma once
#include <string>

#include "wkv/models/rwkv_clip.h"

namespace wkv::models {

// The options with every 0 that stands for a rule replaced. Throws wkv::Error for options that fit no model.
RWKVCLIPOptions complete(RWKVCLIPOptions options);

// Upstream's configuration keys, as a JSON object.
std::string to_config_json(const RWKVCLIPOptions& options);

}  // namespace wkv::models
