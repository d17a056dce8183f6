// Learned positions of a square grid of patches, for a grid of any size.
#pragma once
#include <ATen/Functions.h>

#include "layers/precision.h"
#include "layers/quad_shift.h"

namespace wkv::models {

// pos_embed [1, side * side, C] to [1, patches, C]: bicubic between pixels' centres, without antialiasing.
inline at::Tensor positions_for(const at::Tensor& pos_embed, int64_t side, const PatchGrid& grid) {
  if (grid.height == side && grid.width == side) return pos_embed;
  const at::Tensor map = at_least_float(pos_embed).transpose(1, 2).reshape({1, -1, side, side});
  const at::Tensor resized = at::upsample_bicubic2d(map, {grid.height, grid.width}, /*align_corners=*/false);
  return resized.flatten(2).transpose(1, 2).to(pos_embed.scalar_type());
}

}  // namespace wkv::models
