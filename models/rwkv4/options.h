#pragma once
#include <string>

#include "wkv/models/rwkv4.h"

namespace wkv::models {

// The same options with nothing left to a default. Throws wkv::Error for options that fit no model.
RWKV4Options complete(RWKV4Options options);

// Upstream's configuration keys, as a JSON object.
std::string to_config_json(const RWKV4Options& options);

}  // namespace wkv::models
