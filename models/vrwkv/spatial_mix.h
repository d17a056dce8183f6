// VRWKV's spatial mix on the op bi_wkv. Names and shapes as in the published checkpoints.
#pragma once
#include <memory>

#include "layers/vision_block.h"

namespace wkv::models {

struct VRWKVSpatialMix : SpatialMix {
  VRWKVSpatialMix(int64_t width, bool with_key_norm, const QuadShift& shift, int64_t compat_chunks);
  at::Tensor forward(const at::Tensor& x, const PatchGrid& grid) const override;

  QuadShift shift;
  int64_t compat_chunks;                                   // see ops::bi_wkv
  at::Tensor spatial_decay, spatial_first;                 // [C], divided by the number of tokens when they are used
  at::Tensor spatial_mix_k, spatial_mix_v, spatial_mix_r;  // [1, 1, C], the share of the token itself
  std::shared_ptr<Linear> key, value, receptance, output;
  std::shared_ptr<LayerNorm> key_norm;  // of what the op gives, despite its name
};

}  // namespace wkv::models
