// Everything but the head that files of VRWKV and VRWKV6 tell: of classifiers and of what is built on their trunks.
#pragma once
#include <string>

#include "mapping/checkpoint.h"
#include "wkv/models/vrwkv.h"
#include "wkv/models/vrwkv6.h"

namespace wkv::zoo {

// prefix, post_norm: as for read_trunk.
models::VRWKVOptions read_vrwkv(const Checkpoint& file, const std::string& prefix, bool post_norm, Config& config);
models::VRWKV6Options read_vrwkv6(const Checkpoint& file, const std::string& prefix, bool post_norm, Config& config);

}  // namespace wkv::zoo
