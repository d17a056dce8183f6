#pragma once
#include <string>

#include "wkv/models/rwkv6.h"

namespace wkv::models {

// The options with every 0 that stands for a rule replaced. Throws wkv::Error for options that fit no model.
RWKV6Options complete(RWKV6Options options);

// Upstream's configuration keys, as a JSON object.
std::string to_config_json(const RWKV6Options& options);

inline bool has_gate(RWKV6Variant variant) { return variant == RWKV6Variant::x060 || variant == RWKV6Variant::x060a; }

}  // namespace wkv::models
