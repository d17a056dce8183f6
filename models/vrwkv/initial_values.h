#pragma once
#include "layers/vision_trunk.h"
#include "vrwkv/spatial_mix.h"
#include "wkv/models/vrwkv.h"

namespace wkv::models {

// The initial values of a trunk's mixes, decays and bonuses.
void initialise_vrwkv_mixes(const VisionTrunk& trunk, VRWKVInit mode);

}  // namespace wkv::models
