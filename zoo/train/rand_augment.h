// RandAugment (arXiv 1909.13719), as Vision-RWKV was trained with it: the operations of timm's "increasing" set.
#pragma once
#include <cstdint>

#include "train/image_operations.h"

namespace wkv::zoo {

// Two operations of fifteen, each of them done with a probability of 1/2. magnitude: 0..10, around which each is drawn
// with a deviation of 0.5; fill: what comes from outside of the image. A pure function of its arguments.
WKV_API void rand_augment(Planes& planes, double magnitude, const Colour& fill, uint64_t bits);

}  // namespace wkv::zoo
