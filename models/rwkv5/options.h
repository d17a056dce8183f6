#pragma once
#include <string>

#include "wkv/models/rwkv5.h"

namespace wkv::models {

// The options with every 0 that stands for a rule replaced. Throws wkv::Error for options that fit no model.
RWKV5Options complete(RWKV5Options options);

// Upstream's configuration keys, as a JSON object.
std::string to_config_json(const RWKV5Options& options);

}  // namespace wkv::models
