#pragma once
#include "layers/vision_trunk.h"

namespace wkv::models {

// The initial values of all mixes of a trunk on VRWKV6SpatialMix, their decays and bonuses, upstream's 'fancy'.
void initialise_vrwkv6_mixes(const VisionTrunk& trunk);

}  // namespace wkv::models
