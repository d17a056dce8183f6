// What the families built on RWKV-4 share: the sizes that its tensors tell.
#pragma once
#include <string>

#include "mapping/checkpoint.h"
#include "wkv/models/rwkv4.h"

namespace wkv::zoo {

// The sizes of RWKV-4's own tensors, and the configuration keys that say them too.
models::RWKV4Options rwkv4_options(const Checkpoint& file, Config& config);

// The prefix of the first block's time mix that has one: "blocks.0.att.", or "blocks.1.att." behind ffnPre.
std::string rwkv4_first_time_mix(const Checkpoint& file);

}  // namespace wkv::zoo
