#pragma once
#include "layers/initial_values.h"
#include "layers/vision_trunk.h"
#include "vrwkv6/spatial_mix.h"

namespace wkv::models {

// Mixes, decay and bonus of a block's spatial mix; depth: the block's.
void initialise_spatial_mix(const VRWKV6SpatialMix& mix, const Depth& depth);

// The initial values of all mixes of a trunk on VRWKV6SpatialMix, their decays and bonuses, upstream's 'fancy'.
void initialise_vrwkv6_mixes(const VisionTrunk& trunk);

}  // namespace wkv::models
