// The adapter's options: what follows from them, limits, and upstream's configuration keys.
#pragma once
#include <nlohmann/json.hpp>

#include "wkv/models/vrwkv_adapter.h"

namespace wkv::models {

// The options with interaction_indexes filled in and without what an adapter's trunk has not got. owner: of the
// options, for messages. Throws wkv::Error for options that fit no adapter.
VRWKVAdapterOptions complete(VRWKVAdapterOptions options, const char* owner);

// Upstream's configuration keys.
nlohmann::ordered_json adapter_config(const VRWKVAdapterOptions& options);

// Widths of the values of deformable attention, and of the extractors' networks.
int64_t value_width(const VRWKVAdapterOptions& options);
int64_t cffn_width(const VRWKVAdapterOptions& options);

}  // namespace wkv::models
